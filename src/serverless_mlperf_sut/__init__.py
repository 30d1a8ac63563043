"""The function: zipped and run inside Lambda, it depends on no other part of the project.

Allowed imports: the standard library, numpy, Pillow, obstore and the one engine that the function is deployed with.
"""
