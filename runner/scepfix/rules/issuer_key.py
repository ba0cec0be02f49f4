"""Issuer key: whether a certificate was signed with the key of another, whatever the names say."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.utils import CryptographyDeprecationWarning

from scepfix.domain.certificate import Certificate


def signed_with_key_of(certificate: Certificate, issuer: Certificate) -> bool | None:
    """Given two certificates with their DER, return whether the key of the second signed the first.

    None where that cannot be told: an algorithm or a form that the library does not verify. Names, dates and
    usages of the issuer are not looked at: two organisations may have intermediates of the same name.
    """
    with warnings.catch_warnings():
        # Serial numbers that are not positive, old hashes: deprecated to load, still worth an answer here.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return _verify(x509.load_der_x509_certificate(certificate.der), _public_key(issuer))
        except InvalidSignature:
            return False
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
            return None


def names_key_of(certificate: Certificate, issuers: Sequence[Certificate]) -> bool | None:
    """Given a certificate without its DER and those of an org's CA, return whether its authority key id is of one.

    That is what a certificate says of who signed it, not that it was. None where one of both has no key id.
    """
    known = {issuer.subject_key_id for issuer in issuers} - {None}
    if not known or certificate.authority_key_id is None:
        return None
    return certificate.authority_key_id in known


def _public_key(issuer: Certificate) -> object:
    return x509.load_der_x509_certificate(issuer.der).public_key()


def _verify(certificate: x509.Certificate, key: object) -> bool:
    """Return True, or False for a key of a kind that cannot have made this signature. Raise InvalidSignature."""
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    parameters, digest = certificate.signature_algorithm_parameters, certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PKCS1v15 | padding.PSS) and digest:
        key.verify(signature, signed, parameters, digest)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        key.verify(signature, signed, parameters)
    elif isinstance(key, dsa.DSAPublicKey) and parameters is None and digest:
        key.verify(signature, signed, digest)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and parameters is None and not digest:
        key.verify(signature, signed)
    else:
        return False
    return True
