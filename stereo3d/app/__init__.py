"""`stereo3d app`: a local page on which photos are dropped and a model is turned, measured and saved.

The process of the server reads no photo and imports no numerics: each look at photos and each run is a child process
(`work`), which `runs` starts, queues and ends.
"""
