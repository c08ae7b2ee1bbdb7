"""A script agent: counts the words of each page that it is given, and tells how far it has come."""

import time

from hookline_agent import get_argument, get_time_left, progress_hint, set_result_object

pages = (get_argument() or {}).get("pages", [])
counts = {}
for number, page in enumerate(pages, start=1):
    if get_time_left() < 5:
        print("no time left for the rest")
        break
    counts[page["title"]] = len(page["text"].split())
    print(f"{page['title']}: {counts[page['title']]} words")
    progress_hint(number / len(pages), page["title"])
    time.sleep(0.05)

set_result_object({"words": counts, "total": sum(counts.values())})
