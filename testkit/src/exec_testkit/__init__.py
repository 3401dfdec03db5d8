"""Test tools of this workspace: real servers, faulty links, peers that say anything.

Depends on the protocol package and test libraries only. Programs under test are found
beside the interpreter, or are given as a command.
"""
