"""The agent: what is sent to a device to run and time models there.

It stands apart from the rest of edgekit: Python 3.8, the standard library, numpy and the runtime.
`edgekit.devices.agent_archive` packs this folder as one zipapp. Every mode takes its spec as a JSON
file (`-`: the first line of standard input) and answers in JSON lines on standard output.
"""
