"""The simulated world of the demo and the tests: Macs, an MDM, an Okta org and a CA, all in one folder."""
