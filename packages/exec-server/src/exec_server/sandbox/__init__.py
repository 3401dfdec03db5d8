"""Confinement: a policy becomes rules, rules a plan, a plan the arguments of bubblewrap."""
