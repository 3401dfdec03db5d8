"""HTTP requests that the executor makes for its clients.

``requests`` is what the server holds from its start: who may ask for how much, and what is
under way. Everything else imports httpx and is loaded with the first request, on a thread:

    requests   limits, stream ids, one task for each request
    exchange   one request and its redirects, within its time
    outgoing   params → what is sent; refuses what cannot be
    redirects  a response → the request that follows it (pure)
    sending    one request on the wire: the only function that sends
    network    proxies and certificates, from the environment
    proxies    which proxy, if any (pure)
    failures   what went wrong, as the error of the wire

httpx is used at the level of its transports: its client would change methods, add headers,
decode bodies and follow redirects by rules of its own.
"""
