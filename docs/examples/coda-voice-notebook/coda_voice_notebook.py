"""Two tools for Coda's voice: the time of day, and a notebook."""

from datetime import datetime

from coda_voice_plugin import Tool, hookimpl

NOTES = []


async def time_of_day(arguments):
    return datetime.now().strftime("It is %I:%M %p.")


async def take_note(arguments):
    NOTES.append(arguments["text"])
    return f"Noted: {arguments['text']}"


@hookimpl
def reply_tools():
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    nothing = {"type": "object", "properties": {}}
    return [
        Tool("get_time", "Tells the current time of day.", nothing, time_of_day),
        Tool("take_note", "Writes down a note that the user wants to keep.", text, take_note),
    ]
