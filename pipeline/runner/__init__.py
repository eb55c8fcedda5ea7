"""Wires one run and watches over it: stages, policies, stop conditions; the only place that starts tasks."""
