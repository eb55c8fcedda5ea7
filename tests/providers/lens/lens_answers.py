"""What the fake answers to a search: every part that SerpApi documents for Google Lens, with invented contents."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

Json = dict[str, Any]
NO_RESULTS = "Google Lens hasn't returned any results for this query."
SHOP = "https://shop.example.com"


def search_answer(kind: str, url: str) -> Json:
    """Return the answer to a search of one type."""
    return {**metadata(url, "Success"), "search_parameters": {"engine": "google_lens", "url": url, "type": kind}} | {
        "visual_matches": {"visual_matches": look_alikes(), **surroundings()},
        "products": {"visual_matches": products()},
        "exact_matches": {"exact_matches": exact_matches()},
        "all": {"visual_matches": look_alikes(), "text_results": texts(), **surroundings()},
        "about_this_image": {"about_this_image": {"sections": [{"title": "Pages", "page_results": [{"title": "A"}]}]}},
    }[kind]


def empty_answer(url: str) -> Json:
    """Return the answer where nothing was there: a success with an error."""
    information = {"search_information": {"images_results_state": "Fully empty"}}
    return {**metadata(url, "Success"), **information, "error": NO_RESULTS}


def metadata(url: str, status: str) -> Json:
    """Return what the service says of a search itself."""
    search_id = sha256(url.encode()).hexdigest()[:24]
    base = f"https://serpapi.com/searches/0123456789abcdef/{search_id}"
    return {
        "search_metadata": {
            "id": search_id,
            "status": status,
            "json_endpoint": f"{base}.json",
            "created_at": "2026-11-30 10:00:00 UTC",
            "processed_at": "2026-11-30 10:00:00 UTC",
            "google_lens_url": "https://lens.google.com/uploadbyurl?url=x",
            "raw_html_file": f"{base}.html",
            "prettify_html_file": f"{base}.prettify",
            "total_time_taken": 1.91,
        }
    }


def look_alikes() -> list[Json]:
    """Return three look-alikes: one for sale, one out of stock without a price, one with next to nothing."""
    return [
        {
            "position": 1,
            "title": "Blue mug, 350 ml",
            "link": f"{SHOP}/mug",
            "source": "Example Shop",
            "source_icon": "https://serpapi.com/searches/0/images/icon.png",
            "rating": 4.7,
            "reviews": 207,
            "price": {"value": "$34*", "extracted_value": 34.0, "currency": "$"},
            "in_stock": True,
            "condition": "Used",
            "thumbnail": "https://encrypted-tbn2.gstatic.com/images?q=tbn:mug",
            "thumbnail_width": 225,
            "thumbnail_height": 224,
            "image": f"{SHOP}/mug.jpg",
            "image_width": 1500,
            "image_height": 1499,
        },
        {"position": 2, "title": "Teal cup", "link": f"{SHOP}/cup", "source": "Cups", "in_stock": False},
        {"position": 3, "link": "https://blog.example.com/mugs", "source": "A blog"},
    ]


def products() -> list[Json]:
    """Return two products, one of them without a price."""
    return [
        {
            "position": 1,
            "title": "Blue mug, set of 4",
            "link": f"{SHOP}/set",
            "source": "Example Shop",
            "price": {"value": "₹361*", "extracted_value": 361, "currency": "₹"},
            "in_stock": True,
            "thumbnail": "https://encrypted-tbn2.gstatic.com/images?q=tbn:set",
            "image": f"{SHOP}/set.jpg",
        },
        {"position": 2, "title": "Saucer", "link": f"{SHOP}/saucer", "source": "Cups"},
    ]


def exact_matches() -> list[Json]:
    """Return two pages with the very picture."""
    return [
        {
            "position": 1,
            "title": "All about mugs",
            "source": "Mugs Weekly",
            "source_icon": "https://serpapi.com/searches/0/images/weekly.png",
            "link": "https://weekly.example.com/mugs",
            "thumbnail": "https://serpapi.com/searches/0/images/exact.jpeg",
            "date": "2 years ago",
            "actual_image_width": 220,
            "actual_image_height": 262,
        },
        {
            "position": 2,
            "title": "Sale",
            "link": f"{SHOP}/sale",
            "price": "€12",
            "extracted_price": 12,
            "currency": "€",
        },
    ]


def surroundings() -> Json:
    """Return what comes beside look-alikes."""
    return {
        "knowledge_graph": [
            {
                "title": "Mug",
                "subtitle": "Drinking vessel",
                "link": "https://www.example.org/mug",
                "thumbnail": "https://encrypted-tbn2.gstatic.com/images?q=tbn:kg",
                "more_images": {"link": "https://www.google.com/search?q=Mug", "serpapi_link": "https://serpapi.com/s"},
            }
        ],
        "related_content": [
            {
                "query": "Enamel mug",
                "link": "https://www.google.com/search?q=Enamel+mug",
                "thumbnail": "https://encrypted-tbn2.gstatic.com/images?q=tbn:enamel",
                "serpapi_link": "https://serpapi.com/search.json?engine=google&q=Enamel+mug",
            }
        ],
        "ai_overview": {"page_token": "expires-in-4-minutes", "serpapi_link": "https://serpapi.com/search.json?x=y"},
    }


def texts() -> list[Json]:
    """Return the text in the picture."""
    return [{"text": "HELLO", "link": "https://www.google.com/search?q=HELLO"}, {"text": "big mug"}]
