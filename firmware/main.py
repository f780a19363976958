from domino import app, board

app.run(board.Board())
