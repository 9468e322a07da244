"""The HTTP service: pictures in, poses out. `wholebody serve`, or `app.make_app` inside your own server.

Reading order: limits (what is refused), batching (requests share runs of the networks), engine (a picture through both
networks), bodies and answers (requests and responses), app (the routes), kserve (the same in the Open Inference
Protocol), static (the page in page/, built from web/), watch (metrics and logs), run (processes and signals). Nothing
outside this package imports it, and only it imports FastAPI.

camera is the page of `wholebody camera`, which is independent of these.
"""
