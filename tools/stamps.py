"""`domino stamp`: what staff on this machine ask of the stamps, and do with them."""

import typer

from tools import stamp_card, stamp_read, stamp_redeem, stamp_show, stamp_void
from tools.stamp_evaluate import evaluate

app = typer.Typer(help="The eight-character stamps.", no_args_is_help=True)
app.command("show")(stamp_show.command)
app.command("find")(stamp_card.find)
app.command("card")(stamp_card.card)
app.command("read")(stamp_read.read)
app.command("redeem")(stamp_redeem.command)
app.command("void")(stamp_void.command)
app.command()(evaluate)
