"""What a key is for: models, faces, addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from skep.access.faces import FACES
from skep.access.interfaces import (
    AddressNotAllowedError,
    FaceNotAllowedError,
    KeyWishInvalidError,
    ModelNotAllowedError,
)
from skep.access.models import KeyWish, Network, Principal

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,59}")
_MODEL = re.compile(r"[^\s*]{1,200}\*?|\*")
_MOST_ENTRIES = 200
_LONGEST_WORD = 200

NAME_RULE = "1 to 60 letters, digits, dots, dashes, underscores or @, and a letter or digit first"


def may_call(
    principal: Principal, *, model: str | None = None, face: str | None = None, address: str | None = None
) -> None:
    """Whether the principal's key is for this. None leaves a question out.

    Raises ModelNotAllowedError, FaceNotAllowedError, AddressNotAllowedError.
    """
    if principal.faces is not None and face is not None and face not in principal.faces:
        raise FaceNotAllowedError(key_name=principal.key_name, face=face, allowed=_listed(principal.faces))
    if principal.models is not None and model is not None and not allows_model(principal.models, model):
        raise ModelNotAllowedError(key_name=principal.key_name, model=model[:200], allowed=_listed(principal.models))
    if principal.networks is not None and address is not None and not _is_within(address, principal.networks):
        raise AddressNotAllowedError(key_name=principal.key_name, address=address[:100])


def allows_model(allowed: Sequence[str], model: str) -> bool:
    """Whether a list of models has this one: by its name, or by how it begins where an entry ends with ``*``."""
    return any(model.startswith(entry[:-1]) if entry.endswith("*") else model == entry for entry in allowed)


def networks_of(addresses: Sequence[str]) -> tuple[Network, ...]:
    """The networks that texts name. Raises ValueError with the sentence of `ipaddress`."""
    return tuple(ip_network(address) for address in addresses)


def is_name(text: str) -> bool:
    """Whether keys and projects may be called so."""
    return _NAME.fullmatch(text) is not None


def check_wish(wish: KeyWish, now: datetime) -> None:
    """Whether a key can be made so. Raises KeyWishInvalidError with everything that is wrong."""
    faults = tuple(_faults(wish, now))
    if faults:
        raise KeyWishInvalidError(reason="; ".join(faults))


def _faults(wish: KeyWish, now: datetime) -> Iterator[str]:
    if not is_name(wish.name):
        yield f"its name needs {NAME_RULE}"
    yield from _wrong_entries("models", wish.models, lambda entry: _MODEL.fullmatch(entry) is not None)
    yield from _wrong_entries("faces", wish.faces, FACES.__contains__, f"; there are {', '.join(FACES)}")
    yield from _wrong_entries("addresses", wish.addresses, _is_network)
    for what, text in (("user", wish.user), ("tier", wish.tier)):
        if text is not None and not (0 < len(text) <= _LONGEST_WORD and text.isprintable()):
            yield f"its {what} needs 1 to {_LONGEST_WORD} characters that can be shown"
    if wish.expires_at is not None and wish.expires_at.tzinfo is None:
        yield "the time when it expires needs a time zone"
    elif wish.expires_at is not None and wish.expires_at <= now:
        yield "the time when it expires is over"


def _wrong_entries(
    what: str, entries: Sequence[str] | None, is_right: Callable[[str], bool], hint: str = ""
) -> Iterator[str]:
    if entries is None:
        return
    if not 0 < len(entries) <= _MOST_ENTRIES:
        yield f"its list of {what} needs 1 to {_MOST_ENTRIES} entries; leave it out to allow all"
    for entry in entries[:_MOST_ENTRIES]:
        if not is_right(entry):
            yield f"{entry[:100]!r} cannot be one of its {what}{hint}"


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    # A server that listens on both families sees IPv4 clients in this clothing.
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _listed(entries: Sequence[str]) -> str:
    return ", ".join(entries[:10]) + (", ..." if len(entries) > 10 else "")
