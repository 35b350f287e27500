"""What the scripts share."""


def check(holds, what):
    if not holds:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def http_client(package, is_http2, kind="DefaultHttpxClient"):
    """The transport of an official client, which speaks HTTP/1.1 where it is not told otherwise.

    Connections of HTTP/2 are shared, and TLS of Python may not be used by two threads at once: many at once want an
    asynchronous one.
    """
    return getattr(package, kind)(http2=True) if is_http2 else None
