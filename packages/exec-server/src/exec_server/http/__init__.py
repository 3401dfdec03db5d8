"""HTTP requests that the executor makes for its clients.

``requests`` is what the server holds from its start: who may ask for how much, and what is
under way. What imports httpcore is loaded with the first request, on a thread:

    requests   limits, stream ids, one task for each request
    request    one of them, from its params to its last frame
    memory     bytes of bodies that are held
    answers    a response → the shapes of the wire (pure)
    exchange   one request and its redirects, within its time
    outgoing   params → what is sent; refuses what cannot be
    redirects  a response → the request that follows it (pure)
    sending    one request on the wire: the only function that sends
    urls       URLs (pure)
    network    proxies and certificates, from the environment
    connecting TCP connections
    names      host names → addresses
    proxies    which proxy, if any (pure)
    failures   what went wrong, as the error of the wire

httpcore is what httpx is made of: it sends what it is given and returns what came. httpx's
client would change methods, add headers, decode bodies and follow redirects by rules of its
own.
"""
