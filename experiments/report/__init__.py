"""The HTML page with its player, and the gallery. Both are made from results on disk; nothing is
trained.
"""
