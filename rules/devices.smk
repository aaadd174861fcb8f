# Without --resources gpu=N, the GPUs that can be seen are the limit by themselves, whatever other resources are given.

from seedbed.devices.visible import visible_devices


def limit_devices():
    """Let the scheduler start no more GPU jobs than there are GPUs; none are held back where there is no GPU.

    A cluster's GPUs are not this machine's, so nothing is limited there: a cluster run always has a number of nodes
    (--jobs), and which executor will run is not known yet. A given limit stands; jobs also wait for devices themselves.
    """
    if workflow.nodes is None and "gpu" not in workflow.global_resources:
        devices = checked(visible_devices)
        if devices:
            workflow.register_resource("gpu", len(devices))


if workflow.is_main_process:
    limit_devices()
