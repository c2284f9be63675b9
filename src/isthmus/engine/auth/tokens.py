"""Service account tokens: issued, verified, and as good as the objects that they stand for (KEP-1205, bound tokens).

A token that does not verify is an error (401), never anonymous: whoever shows a bad pass is not let in without one.
PyJWT and cryptography are loaded by the first token: a home whose clients all have certificates never pays for them.
"""

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from isthmus.engine.auth import user as users
from isthmus.engine.auth.user import User
from isthmus.engine.store.row import Key, Row
from isthmus.engine.store.store import Store
from isthmus.machinery import errors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://kubernetes.default.svc"
ALGORITHM = "ES256"
CACHE_LIMIT = 10_000
BOUND = {"pod": "pods", "secret": "secrets", "node": "nodes"}  # what a token may be bound to
Object = dict[str, Any]


class Tokens:
    """Issues and verifies them. `load_key` gives the signing key when it is first needed."""

    def __init__(self, load_key: "Callable[[], ec.EllipticCurvePrivateKey]", store: Store) -> None:
        self._load_key = load_key
        self._store = store
        self._verified: dict[str, _Verified] = {}  # verification costs more than all else in a request

    @cached_property
    def _key(self) -> "ec.EllipticCurvePrivateKey":
        return self._load_key()

    def issue(self, account: Object, seconds: int, audiences: list[str], bound: Object | None = None) -> Object:
        """A TokenRequestStatus for a ServiceAccount, bound to `bound` (kind of BOUND, name, uid) if given."""
        import jwt

        metadata = account["metadata"]
        now = int(time.time())
        private: Object = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if bound:
            kind = bound["kind"].lower()
            assert kind in BOUND  # never "serviceaccount": that would be somebody else's token
            private[kind] = {"name": bound["name"], "uid": bound["uid"]}
        claims = {
            "iss": ISSUER,
            "sub": users.service_account_name(metadata["namespace"], metadata["name"]),
            "aud": audiences or [ISSUER],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": private,
        }
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))
        return {"token": jwt.encode(claims, self._key, ALGORITHM), "expirationTimestamp": expires}

    def user(self, token: str, audiences: Sequence[str] = (ISSUER,)) -> User:
        """The service account that a token for one of `audiences` stands for. Raises StatusError 401."""
        known = self._known(token)
        if known.claims["exp"] <= time.time() or not self.audiences(token, audiences):
            raise errors.unauthorized()
        rows = [self._store.get(key) for key in known.keys]
        if rows != known.rows:  # Rows compare by identity: a change of any of them asks for another look
            known.user = self._account(known.claims["kubernetes.io"])
            known.rows = rows
        assert known.user
        return known.user

    def audiences(self, token: str, wanted: Sequence[str]) -> list[str]:
        """Those of `wanted` that a token is for. Raises StatusError 401 for one that is not ours."""
        meant = self._known(token).claims["aud"]
        return [audience for audience in wanted if audience in meant]

    def _known(self, token: str) -> "_Verified":
        known = self._verified.get(token)
        if known is None:
            if len(self._verified) >= CACHE_LIMIT:
                self._verified.clear()
            known = self._verified[token] = _Verified(self._verify(token))
        return known

    def _verify(self, token: str) -> Object:
        import jwt

        try:
            claims: Object = jwt.decode(
                token,
                self._key.public_key(),
                [ALGORITHM],
                issuer=ISSUER,
                options={"verify_aud": False, "require": ["exp"]},
            )
        except jwt.PyJWTError as error:
            raise errors.unauthorized() from error
        return claims

    def _account(self, private: Object) -> User:
        namespace, account = private["namespace"], private["serviceaccount"]
        self._must_live("serviceaccounts", namespace, account)
        extra: dict[str, list[str]] = {}
        for kind, resource in BOUND.items():
            if bound := private.get(kind):
                self._must_live(resource, "" if kind == "node" else namespace, bound)
                extra |= {f"authentication.kubernetes.io/{kind}-{k}": [bound[k]] for k in ("name", "uid")}
        name = users.service_account_name(namespace, account["name"])
        return User(name, users.service_account_groups(namespace), account["uid"], extra)

    def _must_live(self, resource: str, namespace: str, reference: Object) -> None:
        row = self._store.get((resource, namespace, reference["name"]))
        if row is None or (reference.get("uid") and row.decode()["metadata"]["uid"] != reference["uid"]):
            raise errors.unauthorized()


class _Verified:
    """A token whose signature was checked, and the objects that it stands and falls with."""

    __slots__ = ("claims", "keys", "rows", "user")

    def __init__(self, claims: Object) -> None:
        private = claims["kubernetes.io"]
        namespace = private["namespace"]
        self.claims = claims
        self.keys: list[Key] = [("serviceaccounts", namespace, private["serviceaccount"]["name"])]
        for kind, resource in BOUND.items():
            if bound := private.get(kind):
                self.keys.append((resource, "" if kind == "node" else namespace, bound["name"]))
        self.rows: list[Row | None] = []
        self.user: User | None = None
