"""Words of English, as `senses` needs them: which of them tell nothing, and which say the same.

What stands here decides which questions count as one, so it is kept narrow: words that say the same of anything a user may ask of a
model, not words that are near each other. `bench/semantic_cache.py` measures what comes of it.
"""

from __future__ import annotations


def _each(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _set(words: str) -> frozenset[str]:
    return frozenset(_each(words))


ARTICLES = _set("a an the")

AUXILIARIES = _set("is are am be was were do does did will shall would been")
"""They may stand before or behind their subject, and say no more than when: see `TENSES`."""

TENSES = {
    "was": "past",
    "were": "past",
    "did": "past",
    "had": "past",
    "will": "future",
    "shall": "future",
    "would": "would",
}

HELPERS = _set("have had not never no can could may might must should or and my our")
"""They count where they stand; with the auxiliaries, articles and prepositions they tell that a text is English."""

DAYS = _set("today tomorrow yesterday tonight now")
"""One of them says the same wherever it stands."""

QUESTION_WORDS = _set("what which who whom whose when where why how")

PREPOSITIONS = {
    "of": "of",
    "regarding": "about",
    "concerning": "about",
    **{
        word: word
        for word in _each(
            "in on at with using via through to into onto toward about for from by than before after since until"
        )
    },
    **{
        word: word
        for word in _each("during under above below over without against per as like except but behind beyond")
    },
    **{
        word: word for word in _each("despite unlike versus vs because unless between among within inside outside near")
    },
    **{word: word for word in _each("across along around when if while")},
}
"""Words that govern those behind them; few of them say the same."""

LITTLE_WORDS = ARTICLES | AUXILIARIES | HELPERS | QUESTION_WORDS | PREPOSITIONS.keys()

ABBREVIATIONS = _set("mt mr mrs ms dr st vs etc e.g i.e no approx fig prof inc ltd")
"""The full stop behind them ends no sentence."""

DEGREES = _set(
    "many much long often old far high tall big large fast deep wide heavy expensive soon hot cold warm late early quick safe good bad"
    " likely common dangerous hard difficult easy loud strong short small thick bright close well difficult accurate reliable"
)
"""Behind *how* they say what is asked for."""

COURTESIES = _set("please kindly thanks hi hello hey")

REQUESTS = _set(
    "tell show give explain describe define write list translate convert calculate compute summarize draft compose"
    " name suggest recommend compare find check help draw create make generate provide rewrite fix"
)
"""What one asks a model to do. Before these ``can you`` is courtesy."""

PLURALS_ALONE = _set(
    "windows news goods customs means arms times glasses savings series species physics mathematics economics"
    " pandas keras rails jenkins kubernetes postgres always perhaps plus less across towards besides this"
    " sales pants shorts sometimes thus whereas does was is its redis"
)
"""They end like plurals and are none, or say something else than without the s."""

IRREGULAR_PLURALS = {
    "children": "child",
    "men": "man",
    "women": "woman",
    "feet": "foot",
    "mice": "mouse",
    "indices": "index",
    "indexes": "index",
}

SAME = {
    "begin": "start",
    "begins": "start",
    "begun": "started",
    "began": "started",
    "photo": "picture",
    "e-mail": "email",
    "javascript": "js",
    "typescript": "ts",
    "golang": "go",
    "postgresql": "postgres",
    "k8s": "kubernetes",
    "mt": "mount",
    "dict": "dictionary",
    "regex": "regular expression",
    "regexp": "regular expression",
    "func": "function",
    "wifi": "wi-fi",
    "quickly": "fast",
    "exit": "quit",
    "enable": "turn-on",
    "disable": "turn-off",
    "centre": "center",
    "colour": "color",
    "summarise": "summarize",
    "organise": "organize",
    "optimise": "optimize",
    "initialise": "initialize",
    "serialise": "serialize",
    "normalise": "normalize",
    "analyse": "analyze",
    "behaviour": "behavior",
    "favourite": "favorite",
    "licence": "license",
    "litre": "liter",
    "metre": "meter",
    "theatre": "theater",
    "grey": "gray",
    "travelling": "traveling",
    "cancelled": "canceled",
    "cancelling": "canceling",
    "ok": "okay",
    "max": "maximum",
    "min": "minimum",
    "percentage": "percent",
    "usd": "us-dollar",
    "eur": "euro",
    **IRREGULAR_PLURALS,
    "could": "can",
    "has": "have",
    "cannot": "can not",
}
"""Words that say the same, each as one of them."""

NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        _each(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
            " eighteen nineteen twenty"
        )
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "hundred", "dozen": "12"}

ROMAN = {"II": "2", "III": "3", "IV": "4", "VI": "6", "VII": "7", "VIII": "8", "IX": "9"}
"""As they stand behind names. Those of one letter are more often something else."""

UNITS_OF_TIME = _set("second minute hour day week month quarter year")

FOREIGN = _set(
    "der und ist wie ich nicht ein eine mit auf warum wann wer dem zu kann welche welcher kannst bitte"
    " les et une que qui dans comment pourquoi quand je puis pour sur quel quelle sont avec"
    " una como por para cuando donde puedo cual hacer tiene"
    " che gli quando sono cosa posso della het een hoe wat waarom niet welke"
    " och att hur jag inte jak nie czy jest gdzie uma fazer"
)
"""Common words of other languages that are none of English, nor parts of names that are often named in it."""

_WANTED = "|".join(sorted(REQUESTS - {"find", "check", "make", "fix"}))

_BEGINS = "can|could|would|will|how|what|which|when|where|why|who|whose|is|are|was|were|do|does|did|should|please|i|tell|show|explain|give|write"

OPENERS = (
    rf"(?:hi|hello|hey|okay|well|so|thanks|thank you|good (?:morning|day|evening))(?: there| all| everyone)?(?=,| (?:{_BEGINS})\b)",
    r"(?:please|kindly)(?=[ ,])",
    rf"(?:can|could|would|will) (?:you|u|someone|anyone|anybody|somebody)(?: please| kindly)?(?= (?:{_WANTED})\b)",
    r"(?:do you know|does (?:anyone|anybody|someone) know|i wonder|i (?:am|was) wondering|i (?:would like|want|need) to know|help me understand"
    r"|let me know|(?:tell|show|teach|explain to|remind) me|explain)(?= (?:how|what|which|when|where|why|who|whom|whose|whether|if)\b)",
)
"""How a question begins that has not begun yet."""

NAMED_THINGS = _set(
    "windows apple word outlook teams polish turkey china august amazon oracle ruby access edge meta target chrome safari slack zoom"
    " swift rust nice bath mobile jordan chad kotlin excel notion shell go dart crystal julia pascal basic scheme"
)
"""With a capital they are names, and mostly of something else."""

ACRONYMS = _set(
    "json yaml toml xml csv html css sql http https api url uri tls ssl ssh ftp smtp dns vpn tcp udp usb cpu gpu ssd pdf png jpeg jpg svg"
    " sdk ide jwt aws gcp jvm php npm cli gui llm kb mb gb tb kg km cm utf ascii regex iban vat gdpr faq ceo cto"
)
"""Written large or small they are the same, and no other word; of others (PIN, AIDS, IT) the capitals count."""

WRITTEN_ANYHOW = ACRONYMS | _set(
    "python java javascript typescript golang php perl bash powershell haskell scala cobol fortran linux ubuntu debian fedora macos android"
    " git github gitlab mercurial docker kubernetes k8s terraform ansible jenkins nginx redis kafka mysql sqlite postgres postgresql mongodb"
    " iphone ipad youtube vim emacs numpy pytorch tensorflow django flask dataframe javadoc wi-fi wifi usd eur"
    " january february april june july september october november december"
    " monday tuesday wednesday thursday friday saturday sunday"
)
"""Names that are often written without their capital, and are no other word then. Of all others the capital counts: of *It* and *it*,
*Aliens* and *aliens* either may be meant."""

BEFORE_NAMES = _set(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth last next"
    " film movie book novel song album play musical opera show series episode game band story poem comic brand company called named titled"
    " mr mrs ms dr sir lord lady king queen prince princess president saint professor captain"
)
"""Behind these stand titles and names, in which a plural is not its singular: *the third man*, *the film mice*."""

ABOUT_LANGUAGE = _set(
    "word words spell spells spelled spelt spelling spellings written pronounce pronounced pronunciation say says said"
    " mean means meant meaning meanings define defined definition definitions etymology stand stands term called"
    " rhyme rhymes rhyming synonym synonyms antonym antonyms homophone homophones opposite opposites anagram anagrams palindrome"
    " translate translates translated translation translations letter letters vowel vowels consonant consonants character characters"
    " syllable syllables alphabet alphabetical alphabetically scrabble crossword"
    " plural plurals singular past tense tenses participle infinitive conjugate conjugated conjugation inflection comparative superlative"
    " noun nouns verb verbs adjective adjectives adverb adverbs pronoun pronouns grammar grammatical grammatically"
    " prefix suffix phrase phrases sentence sentences idiom abbreviation abbreviations abbreviate abbreviated acronym acronyms"
    " contraction contractions hyphen hyphenated apostrophe capitalize capitalized uppercase lowercase numeral numerals digit digits"
)
"""Where one of them stands, a text may ask about words, and then not even those count as one that say the same."""

LANGUAGES = _each(
    "english american british french german spanish italian portuguese latin greek dutch polish russian ukrainian czech swedish danish norwegian"
    " finnish turkish arabic hebrew hindi urdu chinese mandarin japanese korean thai vietnamese welsh irish esperanto"
)
