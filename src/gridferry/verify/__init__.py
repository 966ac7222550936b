"""Do both sides hold the same values?"""
