"""The service: pictures in over HTTP, poses out. `wholebody serve`, or `app.make_app` inside your own server.

Read limits (what is refused), batching (requests share runs of the networks), engine (a picture through both networks),
bodies and answers (what goes in and out), app (the routes), kserve (the same in the Open Inference Protocol), static
(the page in page/, which web/ builds), watch (metrics and logs), run (processes and signals). Nothing outside this room
imports it, and it alone imports FastAPI.

camera is the page of `wholebody camera`, which needs none of that.
"""
