"""Webhooks: the messages of a task, sent to the address that its submitter has named (Standard Webhooks).

sender.py takes what is due, lines.py says to whom something may be sent now, courier.py makes one attempt, verdict.py
says what follows from it.
"""
