"""`edgekit distill`: a smaller model that has learnt a larger one's answers, as a file."""

from __future__ import annotations

from typing import Any

import rich_click as click

from edgekit.cli import options


@click.command("distill")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="A.onnx",
    help="A model that answers. Repeatable: several teach together.",
)
@click.option(
    "--student",
    metavar="S",
    help="What learns: an ONNX file; module:callable; auto, pruned from the first teacher;"
    " low-rank, its layers split in two.",
)
@click.option(
    "--keep-macs",
    type=float,
    metavar="SHARE",
    help="Share of multiply-adds that auto or low-rank keeps.",
)
@click.option(
    "--keep-params", type=float, metavar="SHARE", help="Share of parameters that auto keeps."
)
@click.option(
    "--max-latency", metavar="TIME", help="Latency that auto is to reach on the device, e.g. 8ms."
)
@click.option(
    "--rounds", type=int, default=1, metavar="N", help="Prune auto in several, training after each."
)
@click.option(
    "--replace",
    metavar="NODE..NODE",
    help="Put the student in place of what lies there; auto: separable convolutions.",
)
@click.option(
    "--data",
    metavar="DATA",
    help="Samples to learn from: .npz, folder of .npz or of images, module:callable.",
)
@click.option("--epochs", type=float, default=0.0, metavar="N", help="How often all are seen.")
@click.option("--minutes", type=float, default=0.0, metavar="N", help="Longest time of it all.")
@click.option(
    "--learning-rate", type=float, default=0.0, metavar="R", help="Found by trying if not given."
)
@click.option("--batch", type=int, default=0, metavar="N", help="Samples a step.")
@click.option(
    "--loss",
    type=click.Choice(["auto", "mse", "kl"]),
    default="auto",
    show_default=True,
    help="Of each output; auto: kl of probabilities, else mse.",
)
@click.option("--temperature", type=float, default=2.0, show_default=True, help="Of kl.")
@click.option(
    "--labels", type=float, default=0.0, metavar="SHARE", help="Of the loss that labels have."
)
@click.option(
    "--combine",
    "combination",
    type=click.Choice(["auto", "mean", "agreement", "confidence"]),
    default="auto",
    show_default=True,
    help="How several teachers answer as one; auto: three or more that name classes by agreement.",
)
@click.option(
    "--weight",
    "teacher_weights",
    type=float,
    multiple=True,
    metavar="W",
    help="Of a teacher in the mean; one a teacher, in their order.",
)
@click.option(
    "--output-weight",
    "output_weights",
    multiple=True,
    metavar="OUTPUT=W",
    help="What an output counts for in the loss; 1 where not given. Repeatable.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="NAME[=NAME]",
    help="Match this value within the student to the first teacher's. Repeatable.",
)
@click.option(
    "--features-by",
    type=click.Choice(["projection", "attention"]),
    default="projection",
    show_default=True,
    help="Match channels in a learnt mixture, or the places that matter.",
)
@click.option("--no-augment", is_flag=True, help="Show images as they are only.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@options.target
@options.device
@options.inventory
@options.threads
@options.shapes
@options.output_file
@options.force
def command(
    *,
    teachers: tuple[str, ...],
    student: str | None,
    keep_macs: float | None,
    keep_params: float | None,
    max_latency: str | None,
    rounds: int,
    replace: str | None,
    data: str | None,
    output_weights: tuple[str, ...],
    features: tuple[str, ...],
    no_augment: bool,
    target: str | None,
    device: str | None,
    inventory: str | None,
    threads: int,
    shapes: tuple[str, ...],
    output: str | None,
    force: bool,
    **recipe: Any,
) -> int:
    """Teach a smaller model the answers of one or several, from unlabelled data.

    A run that was ended goes on where it was when it is started again. Exit code 3: the student
    came no nearer to its teachers than it was; OUT is the student as it began.
    """
    from edgekit.cli import terminal
    from edgekit.students import distill

    written = options.required(output, "-o")
    with terminal.progress() as report:
        record = distill(
            teachers,
            student=options.required(student, "--student"),
            keep_macs=keep_macs,
            keep_params=keep_params,
            max_latency_s=options.read_seconds(max_latency, "--max-latency")
            if max_latency is not None
            else None,
            rounds=rounds,
            replace=replace,
            data=options.required(data, "--data"),
            out=written,
            output_weights=options.read_numbers(
                output_weights, "--output-weight", "OUTPUT=W, e.g. boxes=2"
            ),
            features={one.partition("=")[0]: one.partition("=")[2] or one for one in features},
            augment=not no_augment,
            target=target,
            device=device,
            inventory=inventory,
            threads=threads,
            shapes=options.read_shapes(shapes),
            force=force,
            progress=report,
            **recipe,
        )
    alike = options.measured_by(device, inventory, threads=threads, shapes=shapes)
    return terminal.show_learnt(record, teachers[0], written, alike)
