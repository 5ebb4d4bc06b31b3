"""Figures that several studies share: functions from results to a matplotlib Figure. They neither
train nor save.
"""
