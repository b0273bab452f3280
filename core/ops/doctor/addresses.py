"""Addresses and proxies: how the world reaches this board, and whom it believes about that."""

from __future__ import annotations

from urllib.parse import urlsplit

from core.ops.doctor.findings import Findings, Patient, error, is_local, ok, warning


def examine(patient: Patient) -> Findings:
    settings = patient.settings
    if patient.platform and not patient.production:
        found = f"APP_ENV is development, and this runs on {patient.platform}"
        yield error("mode", found, "unset APP_ENV, or set it to production: much of what protects a board is off")
    if not patient.production:
        return
    yield from _https(patient)
    yield from _origins(patient)
    yield from _proxies(patient)
    if not settings.metrics_token:
        found = "METRICS_TOKEN is not set: only callers on this machine can read /metrics"
        yield warning("metrics", found, "set it to a random text, and give it to whoever collects them")
    if settings.rate_limit.strip() == "0":
        yield warning("limit", "RATE_LIMIT is 0: nothing slows a caller down", "unset it, or set it to 600/minute")


def _https(patient: Patient) -> Findings:
    for variable, url in (("API_URL", patient.settings.api_url), ("APP_URL", patient.settings.app_url)):
        check = variable.removesuffix("_URL").lower()
        if not url:
            continue
        parts = urlsplit(url)
        if is_local(parts.hostname or ""):
            found = f"{variable} is {url}: links in mail and tokens' issuer would name this machine"
            yield error(check, found, f"set {variable} to the public address, https://…")
        elif parts.scheme != "https":
            yield error(check, f"{variable} is {url}: passwords and tokens would travel in the clear", "use https://")
        else:
            yield ok(check, f"{variable} is {url}")


def _origins(patient: Patient) -> Findings:
    bad = False
    for origin in patient.settings.client_url:
        parts = urlsplit(origin)
        if is_local(parts.hostname or ""):
            bad = True
            found = f"CLIENT_URL permits {origin}: any program on a user's machine may speak for them"
            yield error("origins", found, "take it out of production's CLIENT_URL")
        elif parts.scheme != "https":
            bad = True
            found = f"CLIENT_URL permits {origin}: who sits on the network can speak as that page"
            yield error("origins", found, "use https://, or take it out")
    if not bad:
        yield ok("origins", ", ".join(patient.settings.client_url) or "no other origin may call from a browser")


def _proxies(patient: Patient) -> Findings:
    trusted = patient.settings.trusted_proxies
    if patient.platform and trusted == 0:
        found = f"TRUSTED_PROXIES is 0 behind {patient.platform}'s router: every caller has the router's address"
        yield error("proxies", found, "set TRUSTED_PROXIES=1, or rate limits and logs know nobody apart")
    else:
        yield ok("proxies", f"{trusted} trusted")
