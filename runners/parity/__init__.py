"""Do contenders compute the same?"""
