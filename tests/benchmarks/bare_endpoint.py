"""The measure of everything: a FastAPI endpoint that reads the same message and does nothing.

No token, no database, no metrics: what FastAPI itself costs as it is ordinarily used.
"""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from app.protocol.messages import SubmitTask

PATH = "/tasks"

app = FastAPI()


@app.post(PATH, status_code=202)
async def submit(message: SubmitTask) -> JSONResponse:
    return JSONResponse({"status": "Submitted", "message_id": message.header.message_id}, 202)
