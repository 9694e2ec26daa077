"""What counts as the same question in other words, and what never does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skep.errors import UnavailableError
from skep.gateway.caching.asking import asked_in
from skep.gateway.caching.senses import LONGEST_TEXT, sense_of
from skep.gateway.caching.similarity import Similarity
from skep.gateway.caching.wordings import Asked, Put, packed_put, unpacked_put
from skep.gateway.profiles import Face
from skep.gateway.requests import read_request

QUESTION = "How do I convert JSON to YAML?"


@pytest.mark.parametrize(
    "texts",
    [
        (QUESTION, "how can I convert JSON into YAML", "Please tell me how to convert json to yaml."),
        ("What is Australia's capital?", "What's the capital of Australia?", "Tell me the capital of Australia."),
        ("Why is the sky blue?", "Can you explain why the sky is blue?"),
        ("In Python, how do I reverse a list?", "How do I reverse a list in Python?"),
        ("How do I run a job every 5 minutes?", "How do I run a job every five minutes?"),
        ("What is 15% of 240?", "Calculate fifteen percent of 240."),
        ("Is December 24th a holiday?", "Is 24 December a holiday?"),
        ("Find files larger than 100MB on Linux.", "Find files bigger than 100 MB on Linux"),
        ("What does `parse_config` return?", "Can you tell me what `parse_config` returns?"),
        ("Will it rain in Oslo tomorrow?", "Is it going to rain tomorrow in Oslo?"),
        ("What's new in \u201cPython\u201d?", 'What is new in "Python"?'),
        ("HOW DO I QUIT VIM?", "How do I quit vim?"),
        ("Who directed Aliens?", "Please tell me who directed Aliens."),
        ("What is vitamin A good for?", "Can you explain what vitamin A is good for?"),
        ("Is grass good for dogs?", "Is grass good for a dog?"),
        ("How do I open my account?", "How can I open my account?"),
        ("How do I poison a rat?", "How do I poison rats?"),
        ("How do you work?", "How do you work"),
        ("What is 5m in feet?", "What is 5 m in feet?"),
        ("How large is 5 KB?", "How large is 5kb?"),
        ("How high is Mt. Everest?", "How high is Mount Everest?"),
        ("Who won the Second World War?", "Who won world war II?"),
        ("Who wrote It?", "Do you know who wrote It?"),
        ("Is SQL or Python older?", "Is sql or python older?"),
        ("How is colour spelled?", "Please tell me how is colour spelled", "how is colour spelled?"),
        ("What is the difference between Java and Python?", "What is the difference between Python and Java?"),
    ],
)
def test_the_same_in_other_words(texts: tuple[str, ...]) -> None:
    assert None not in {sense_of(text) for text in texts}
    assert len({sense_of(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (QUESTION, "How do I convert YAML to JSON?"),
        (QUESTION, "Why do I convert JSON to YAML?"),
        (QUESTION, "How do I not convert JSON to YAML?"),
        (QUESTION, "How did I convert JSON to YAML?"),
        ("How do I redirect HTTP to HTTPS?", "How do I redirect HTTPS to HTTP?"),
        ("Who did Google buy?", "Who bought Google?"),
        ("Can a teacher sue a student?", "Can a student sue a teacher?"),
        ("Are cats smarter than dogs?", "Are dogs smarter than cats?"),
        ("What is DNA?", "What does DNA do?"),
        ("Where is it from?", "Where is it to?"),
        ("What are you looking for?", "What are you looking at?"),
        ("Who is the president of France?", "Who was the president of France?"),
        ("What is my address?", "What is an address?"),
        ("What is IT in France?", "What is it in France?"),
        ("What does `a b` do?", "What does `a  b` do?"),
        ("What does parseConfig do?", "What does parse_config do?"),
        ('Translate "Polish" into French.', 'Translate "polish" into French.'),
        ("What is 5!?", "What is 5?"),
        ("What is -5 plus 3?", "What is 5 plus 3?"),
        ("How do I print 1,000 pages?", "How do I print 1.000 pages?"),
        ("How much is 100 Mb?", "How much is 100 MB?"),
        ("Do I need a few files?", "Do I need few files?"),
        ("Is coffee and tea healthy?", "Is coffee or tea healthy?"),
        ("How do I run a service with Docker?", "How do I run a service without Docker?"),
        ("Remind me in 5", "Remind me at 5"),
        ("What is on the table?", "What is in the table?"),
        ("What happens if it rains?", "What happens while it rains?"),
        ("Put the key in the box on the table.", "Put the key on the table in the box."),
        ("Is it not true that all cats are black?", "Is it true that not all cats are black?"),
        ("I can run but may not walk.", "I may not run but can walk."),
        ("Was he happy and is she sad?", "Is he happy and was she sad?"),
        ("Copy A to B, then C to D.", "Copy A to D, then C to B."),
        ("Is my car older than the house?", "Is the car older than my house?"),
        ("Who is Anna's brother's wife?", "Who is Anna's wife's brother?"),
        ("How do I close Windows?", "How do I close windows?"),
        ("Is a PIN safe?", "Is a pin safe?"),
        ("What is C?", "What is c?"),
        ("What do I wear in May?", "What may I wear in?"),
        ("What is a second?", "What is the second?"),
        ("What do I have to eat?", "What must I eat?"),
        ("Is Bob bigger than Ann?", "Is Bob greater than Ann?"),
        ("What are you buying?", "What do you buy?"),
        ("Why is the server reset?", "Why does the server reset?"),
        ("Who did he hit?", "Who was he hit?"),
        ("How long is it?", "How long does it take?"),
        ("How much is 1 bitcoin?", "What is 1 bitcoin?"),
        ("What does please mean?", "What does mean?"),
        ("How do I say please in Thai?", "How do I say thanks in Thai?"),
        ("What is the French for please?", "What is the French for thanks?"),
        ("Hello world in C", "World in C"),
        ("Is SSL older than TLS?", "Is TLS older than SSL?"),
        ("Define a function that adds 2 numbers.", "What is a function that adds 2 numbers?"),
        ("Can I run?", "I can run."),
        # A capital makes a name, of which a plural is another one.
        ("Who directed Alien?", "Who directed Aliens?"),
        ("WHO DIRECTED ALIEN?", "WHO DIRECTED ALIENS?"),
        ("who directed alien?", "who directed aliens?"),
        ("Alien: who directed it?", "Aliens: who directed it?"),
        ("Who wrote It?", "Who wrote it?"),
        ("Who sang in The Who?", "Who sang in who?"),
        ("who sang in the who?", "who sang in who?"),
        ("Who wrote Grey?", "Who wrote Gray?"),
        ("Who sang It's You?", "Who sang it's you?"),
        # So does a word before it.
        ("Who directed the third man?", "Who directed the third men?"),
        ("Who directed The Third Man?", "Who directed The Third Men?"),
        ("Who directed the film mouse?", "Who directed the film mice?"),
        ("Who is mr wood?", "Who is mr woods?"),
        ("What does vitamin A do?", "What do vitamins do?"),
        ("what does vitamin a do?", "what does a vitamin do?"),
        ("How do I find a key?", "How do I find the key?"),
        ("How do I open an account?", "How do I open my account?"),
        ("How do people poison a dog?", "How do I poison a dog?"),
        ("How do you work?", "How do I work?"),
        ("How do we work?", "How do I work?"),
        ("What is the way to work?", "How do I work?"),
        ("What is 5M in dollars?", "What is 5m in dollars?"),
        ("What is 5 MM in dollars?", "What is 5 mm in dollars?"),
        ("What is -5M in dollars?", "What is -5m in dollars?"),
        ("How hot is 300K?", "How hot is 300k?"),
        ("How many ms are in 5 s?", "How many ms are in 5 S?"),
        ("How many ms are in 5s?", "How many ms are in 5S?"),
        ("How do I convert 10 mS to ms?", "How do I convert 10 ms to ms?"),
        # About words: there none counts as another.
        ("What is the plural of the word child?", "What is the plural of the word children?"),
        ("What is the plural of child?", "What is the plural of children?"),
        ("What is the plural of mouse?", "What is the plural of mice?"),
        ("What is the past of begin?", "What is the past of start?"),
        ("What is the past of is?", "What is the past of are?"),
        ("How is colour spelled in the US?", "How is color spelled in the US?"),
        ("How do I spell the?", "How do I spell a?"),
        ("How is 20 written?", "How is twenty written?"),
        ("What rhymes with grey?", "What rhymes with gray?"),
        ("What is the French for mice?", "What is the French for mouse?"),
        ("How would one put mice into German?", "How would one put mouse into German?"),
        ("What is the word for 5!?", "What is the word for 5?"),
    ],
)
def test_what_looks_alike_and_is_not_the_same(one: str, other: str) -> None:
    assert sense_of(one) is not None
    assert sense_of(one) != sense_of(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "?!",
        "Wie kann ich JSON in YAML umwandeln?",
        "Comment puis-je convertir JSON en YAML ?",
        "Come si fa la pizza quando sono in vacanza",
        "\u600e\u4e48\u628a JSON \u8f6c\u6210 YAML?",
        "What is the word for caf\u00e9 in English?",
        "lorem ipsum dolor sit amet consectetur",
        "What is it? " * LONGEST_TEXT,
        # Here an article may be a variable, and a synonym what it is to be told from.
        "What does a = b do?",
        "What is 5 / 3?",
        "What is the difference between max and maximum?",
    ],
)
def test_what_is_not_covered_is_never_the_same(text: str) -> None:
    assert sense_of(text) is None


TEMPLATES = (
    "What is {} percent of 240?",
    "When is invoice {} due?",
    "How do I run a job every {} minutes?",
    "List customers who ordered more than {} items.",
    "What does `f({})` return?",
    'What does "error {}" mean?',
    "What is new in Python {}?",
    "Is December {} a holiday?",
    "Convert ${} to euros.",
    "What happens in world war {} and why?",
    "Why does job-{} fail on port 80{}?",
)
numbers = st.one_of(
    st.integers(0, 10**9).map(str),
    st.decimals(0, 10**6, places=2).map(str),
    st.sampled_from(["one", "two", "seven", "twelve", "twenty", "-3", "1e5", "007", "II", "IV"]),
)


def value(number: str) -> object:
    words = {"one": 1, "two": 2, "seven": 7, "twelve": 12, "twenty": 20, "II": 2, "IV": 4}
    return float(words.get(number, number))


@given(st.sampled_from(TEMPLATES), numbers, numbers)
def test_another_number_is_another_question(template: str, one: str, other: str) -> None:
    assume(value(one) != value(other))
    senses = [sense_of(template.replace("{}", number)) for number in (one, other)]
    assert senses[0] is not None
    assert senses[0] != senses[1]


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read_and_digits_stay(one: str, other: str) -> None:
    senses = [sense_of(f"What is {text} in it?") for text in (one, other)]
    if senses[0] is not None and senses[0] == senses[1]:
        assert [digit for digit in sorted(one) if digit.isdigit()] == [d for d in sorted(other) if d.isdigit()]


@given(st.permutations(["alpha", "beta", "gamma"]))
def test_who_does_what_to_whom_counts(names: list[str]) -> None:
    one = sense_of("Does alpha send beta from gamma to Rome?")
    other = sense_of(f"Does {names[0]} send {names[1]} from {names[2]} to Rome?")
    assert (one == other) == (names == ["alpha", "beta", "gamma"])


@pytest.mark.parametrize("size", [100, 1_000])
def test_no_text_takes_long(size: int) -> None:
    for text in ("in " * size, "a," * size, "(" * size, '"' * size, "what is " * size, "can you please " * size):
        began = time.perf_counter()
        sense_of(text[:LONGEST_TEXT])
        assert time.perf_counter() - began < 0.5


def asked(body: dict[str, Any], face: Face = "chat.completions", project: int = 1) -> Asked | None:
    return asked_in(b"seed", ("installation", project), read_request(face, orjson.dumps(body)), ())


def chat(content: object, **more: object) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": content}],
    } | more


def test_only_the_last_words_of_the_user_may_differ() -> None:
    one, other = asked(chat(QUESTION)), asked(chat("How can I convert JSON to YAML?"))
    assert one is not None
    assert other is not None
    assert (one.key, one.text) == (other.key, QUESTION)
    for different in (
        chat(QUESTION, temperature=0),
        chat(QUESTION, stream=True),
        chat(QUESTION, tools=[{"type": "function", "function": {"name": "f"}}]),
        {"model": "m", "messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": QUESTION}]},
        {"model": "m", "messages": [{"role": "user", "content": QUESTION}]},
    ):
        found = asked(different)
        assert found is not None
        assert found.key != one.key
    stranger = asked(chat(QUESTION), project=2)
    assert stranger is not None
    assert stranger.key != one.key


@pytest.mark.parametrize(
    ("face", "body"),
    [
        ("chat.completions", chat([{"type": "text", "text": QUESTION}])),
        ("messages", chat([{"type": "text", "text": QUESTION}], max_tokens=9)),
        ("responses", {"model": "m", "input": QUESTION}),
        (
            "responses",
            {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": QUESTION}]}]},
        ),
    ],
)
def test_where_a_question_stands(face: Face, body: dict[str, Any]) -> None:
    found = asked(body, face)
    assert found is not None
    assert found.text == QUESTION


@pytest.mark.parametrize(
    ("face", "body"),
    [
        ("completions", {"model": "m", "prompt": QUESTION}),
        ("embeddings", {"model": "m", "input": QUESTION}),
        ("chat.completions", {"model": "m", "messages": []}),
        ("chat.completions", {"model": "m", "messages": [{"role": "assistant", "content": QUESTION}]}),
        ("chat.completions", {"model": "m", "messages": [{"role": "tool", "tool_call_id": "1", "content": QUESTION}]}),
        (
            "chat.completions",
            chat([{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": "x"}}]),
        ),
        ("messages", chat([{"type": "tool_result", "tool_use_id": "1", "content": QUESTION}], max_tokens=9)),
        # Said twice: which of the two it is, the bytes do not tell.
        ("chat.completions", chat(QUESTION, user=QUESTION)),
        ("chat.completions", chat("Wie geht das?")),
        ("chat.completions", chat(7)),
    ],
)
def test_what_is_no_question_in_words_alone(face: Face, body: dict[str, Any]) -> None:
    assert asked(body, face) is None


def test_what_stands_in_a_store_says_whose_it_is() -> None:
    put = Put(b"a" * 32, QUESTION, "call")
    data = packed_put(b"k" * 32, put)
    assert unpacked_put(b"k" * 32, data) == put
    for wrong in (data[:-1], b"[]", b"{}", b"null"):
        with pytest.raises(ValueError, match="no question"):
            unpacked_put(b"k" * 32, wrong)
    with pytest.raises(ValueError, match="another key"):
        unpacked_put(b"l" * 32, data)


class Vector(tuple[float, ...]):
    """As numpy's, as far as it is needed."""

    __slots__ = ()

    def __matmul__(self, other: Vector) -> float:
        return sum(one * another for one, another in zip(self, other, strict=True))


class Embedding:
    """Texts of the same length are the same; waits if told to, and breaks if told to."""

    dimensions = 2

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.is_broken = False

    def embed(self, texts: Sequence[str]) -> Iterator[Vector]:
        assert self.goes_on.wait(10)
        if self.is_broken:
            raise UnavailableError
        return (Vector((1.0, 0.0) if len(text) % 2 else (0.6, 0.8)) for text in texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return len(texts)


async def test_what_takes_too_long_is_not_known() -> None:
    model = Embedding()
    similarity = Similarity(model)
    assert await similarity.between("a", "abc", 10) == 1.0
    assert await similarity.between("a", "ab", 10) == 0.6
    model.goes_on.clear()
    waiting = asyncio.create_task(similarity.between("a", "b", 10))
    # It stands behind the first and gives up.
    assert await similarity.between("a", "b", 0.01) is None
    model.goes_on.set()
    assert await waiting == 1.0
    model.is_broken = True
    assert await similarity.between("a", "b", 10) is None
    similarity.close()
