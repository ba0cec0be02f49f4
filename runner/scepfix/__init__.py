"""scepfix: name the fault behind a refused Okta Desktop MFA recovery PIN, and repair it."""

__version__ = "0.1.0"
