"""Words and facts about everyday scenes, from which ``scenes`` draws and with which ``grammar`` speaks.

No word here tells how a picture looks (light, colour, sharpness, tilt, disorder): captions must carry nothing about the
picture attributes, because those are planted apart from the scene.
"""

from typing import NamedTuple


class Category(NamedTuple):
    """One of the 80 object categories of COCO."""

    id: int
    name: str
    supercategory: str


_BY_SUPERCATEGORY = {
    "person": {1: "person"},
    "vehicle": {
        2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    },
    "outdoor": {10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench"},
    "animal": {
        16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
        24: "zebra", 25: "giraffe",
    },
    "accessory": {27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase"},
    "sports": {
        34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
        40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket",
    },
    "kitchen": {44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl"},
    "food": {
        52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog",
        59: "pizza", 60: "donut", 61: "cake",
    },
    "furniture": {62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet"},
    "electronic": {72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone"},
    "appliance": {78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator"},
    "indoor": {
        84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
    },
}  # fmt: skip
CATEGORIES = {
    name: Category(identifier, name, supercategory)
    for supercategory, members in _BY_SUPERCATEGORY.items()
    for identifier, name in members.items()
}
SUPERCATEGORIES = tuple(_BY_SUPERCATEGORY)

SYNONYMS = {
    "bicycle": ["bicycle", "bike"],
    "motorcycle": ["motorcycle", "motorbike"],
    "airplane": ["airplane", "plane", "jet"],
    "bus": ["bus", "city bus", "passenger bus"],
    "train": ["train", "passenger train"],
    "truck": ["truck", "pickup truck"],
    "boat": ["boat", "sailboat", "small boat"],
    "traffic light": ["traffic light", "stop light", "traffic signal"],
    "cat": ["cat", "kitten"],
    "dog": ["dog", "puppy"],
    "handbag": ["handbag", "purse", "bag"],
    "suitcase": ["suitcase", "piece of luggage"],
    "sports ball": ["ball"],
    "cup": ["cup", "mug"],
    "couch": ["couch", "sofa"],
    "potted plant": ["potted plant", "house plant", "plant"],
    "dining table": ["table", "dining table"],
    "tv": ["television", "tv"],
    "laptop": ["laptop", "laptop computer"],
    "mouse": ["computer mouse"],
    "remote": ["remote control", "remote"],
    "cell phone": ["cell phone", "phone", "smartphone"],
    "donut": ["donut", "doughnut"],
    "refrigerator": ["refrigerator", "fridge"],
    "tennis racket": ["tennis racket", "racket"],
    "baseball bat": ["baseball bat", "bat"],
    "baseball glove": ["baseball glove", "mitt"],
    "hair drier": ["hair dryer"],
    "oven": ["oven", "stove"],
    "teddy bear": ["teddy bear", "stuffed bear"],
    "vase": ["vase", "vase of flowers"],
}
SINGULAR_PHRASES = {"skis": "a pair of skis", "scissors": "a pair of scissors", "broccoli": "some broccoli"}
PLURALS = {
    "skis": "skis", "scissors": "scissors", "broccoli": "broccoli", "sheep": "sheep", "knife": "knives", "bus": "buses",
    "city bus": "city buses", "passenger bus": "passenger buses", "bench": "benches", "sandwich": "sandwiches",
    "wine glass": "wine glasses", "couch": "couches", "toothbrush": "toothbrushes", "mouse": "mice",
    "computer mouse": "computer mice", "puppy": "puppies",
    "vase of flowers": "vases of flowers", "piece of luggage": "pieces of luggage",
}  # fmt: skip

# What people do with a thing: alternatives of (action, ways to say it); {o} is the thing.
PEOPLE_ACTIONS: dict[str, list[tuple[str, list[str]]]] = {
    "bicycle": [("riding", ["riding {o}", "cycling on {o}"]), ("walking", ["walking beside {o}", "pushing {o}"])],
    "motorcycle": [("riding", ["riding {o}", "driving {o}"]), ("standing", ["standing beside {o}", "leaning on {o}"])],
    "skateboard": [("riding", ["riding {o}", "rolling along on {o}"]), ("playing", ["doing a trick on {o}"])],
    "surfboard": [("riding", ["riding a wave on {o}", "surfing on {o}"]), ("holding", ["carrying {o}", "holding {o}"])],
    "snowboard": [("riding", ["riding {o}", "sliding down on {o}"]), ("playing", ["jumping with {o}"])],
    "skis": [("riding", ["skiing on {o}", "gliding along on {o}"]), ("standing", ["standing on {o}"])],
    "horse": [("riding", ["riding {o}", "on the back of {o}"]), ("standing", ["standing next to {o}", "leading {o}"])],
    "elephant": [("riding", ["riding {o}", "on top of {o}"]), ("looking", ["looking at {o}", "watching {o}"])],
    "boat": [("riding", ["rowing {o}", "riding in {o}"]), ("sitting", ["sitting in {o}", "relaxing aboard {o}"])],
    "frisbee": [("playing", ["throwing {o}", "jumping to catch {o}", "playing with {o}"])],
    "kite": [("playing", ["flying {o}", "playing with {o}"]), ("looking", ["looking up at {o}"])],
    "sports ball": [("playing", ["kicking {o}", "chasing {o}", "playing with {o}"])],
    "baseball bat": [("playing", ["swinging {o}", "hitting a pitch with {o}"]), ("holding", ["holding {o}"])],
    "baseball glove": [("playing", ["catching a ball with {o}", "reaching out with {o}"])],
    "tennis racket": [("playing", ["swinging {o}", "hitting a ball with {o}"]), ("holding", ["holding {o}"])],
    "pizza": [("eating", ["eating {o}", "sharing {o}"]), ("cooking", ["making {o}", "preparing {o}"])],
    "cake": [("eating", ["eating {o}", "tasting {o}"]), ("cooking", ["cutting {o}", "decorating {o}"])],
    "sandwich": [("eating", ["eating {o}", "biting into {o}"]), ("cooking", ["making {o}", "preparing {o}"])],
    "donut": [("eating", ["eating {o}", "taking a bite of {o}"])],
    "hot dog": [("eating", ["eating {o}", "taking a bite of {o}"])],
    "banana": [("eating", ["eating {o}", "peeling {o}"])],
    "apple": [("eating", ["eating {o}", "biting into {o}"])],
    "orange": [("eating", ["eating {o}", "peeling {o}"])],
    "broccoli": [("cooking", ["cooking {o}", "chopping {o}"])],
    "carrot": [("cooking", ["chopping {o}", "slicing {o}"])],
    "bowl": [("cooking", ["mixing food in {o}", "stirring {o}"]), ("eating", ["eating from {o}"])],
    "oven": [("cooking", ["cooking at {o}", "baking something in {o}"])],
    "refrigerator": [("looking", ["looking into {o}", "searching through {o}"]), ("standing", ["standing beside {o}"])],
    "microwave": [("cooking", ["heating food in {o}"]), ("standing", ["standing by {o}"])],
    "sink": [("working", ["washing up at {o}", "cleaning {o}"])],
    "dining table": [("eating", ["eating at {o}", "having a meal at {o}"]), ("sitting", ["sitting at {o}"])],
    "wine glass": [("drinking", ["drinking from {o}", "raising {o}"]), ("holding", ["holding {o}"])],
    "cup": [("drinking", ["drinking from {o}", "sipping from {o}"])],
    "bottle": [("drinking", ["drinking from {o}", "pouring from {o}"])],
    "laptop": [("working", ["working on {o}", "typing on {o}", "using {o}"])],
    "keyboard": [("working", ["typing on {o}", "working at {o}"])],
    "cell phone": [("talking", ["talking on {o}", "chatting on {o}"]), ("looking", ["looking at {o}", "using {o}"])],
    "tv": [("looking", ["watching {o}", "looking at {o}"])],
    "remote": [("playing", ["playing a game with {o}"]), ("holding", ["pointing {o}", "holding {o}"])],
    "book": [("looking", ["reading {o}", "looking through {o}"])],
    "couch": [("sitting", ["sitting on {o}", "relaxing on {o}"]), ("resting", ["sleeping on {o}", "lying on {o}"])],
    "bed": [("resting", ["lying on {o}", "sleeping on {o}"]), ("sitting", ["sitting on {o}"])],
    "chair": [("sitting", ["sitting on {o}", "seated on {o}"])],
    "bench": [("sitting", ["sitting on {o}", "seated on {o}"]), ("resting", ["lying on {o}", "sleeping on {o}"])],
    "toothbrush": [("working", ["brushing teeth with {o}"]), ("holding", ["holding {o}"])],
    "hair drier": [("working", ["using {o}", "drying hair with {o}"])],
    "scissors": [("working", ["cutting paper with {o}", "using {o}"])],
    "teddy bear": [("holding", ["hugging {o}", "holding {o}"]), ("playing", ["playing with {o}"])],
    "umbrella": [("walking", ["walking under {o}"]), ("holding", ["holding {o}", "carrying {o}"])],
    "suitcase": [("walking", ["pulling {o}", "walking with {o}"]), ("standing", ["waiting beside {o}"])],
    "backpack": [("walking", ["walking with {o}", "carrying {o}"])],
    "handbag": [("walking", ["walking with {o}", "carrying {o}"])],
    "tie": [("standing", ["wearing {o}", "posing in {o}"])],
    "dog": [("walking", ["walking {o}", "strolling with {o}"]), ("playing", ["playing with {o}", "petting {o}"])],
    "cat": [("holding", ["holding {o}", "cuddling {o}"]), ("playing", ["playing with {o}", "petting {o}"])],
    "bird": [("looking", ["feeding {o}", "watching {o}"])],
    "sheep": [("working", ["herding {o}", "shearing {o}"])],
    "cow": [("working", ["milking {o}", "herding {o}"])],
    "giraffe": [("looking", ["feeding {o}", "looking at {o}"])],
    "zebra": [("looking", ["looking at {o}", "watching {o}"])],
    "bus": [("standing", ["waiting for {o}", "boarding {o}"]), ("walking", ["walking past {o}"])],
    "train": [("standing", ["waiting for {o}", "boarding {o}"]), ("walking", ["walking alongside {o}"])],
    "car": [("driving", ["driving {o}", "steering {o}"]), ("standing", ["standing beside {o}"])],
    "truck": [("driving", ["driving {o}", "steering {o}"]), ("working", ["loading {o}", "unloading {o}"])],
    "airplane": [("standing", ["waiting beside {o}", "boarding {o}"]), ("looking", ["watching {o}"])],
}
DEFAULT_PEOPLE_ACTIONS = [
    ("standing", ["standing next to {o}", "standing beside {o}", "standing by {o}"]),
    ("looking", ["looking at {o}", "examining {o}"]),
]

# What things and animals do by themselves.
_TRAFFIC = [
    ("driving", ["driving along", "moving along", "travelling along"]),
    ("parked", ["parked", "standing still"]),
]
_GRAZING = [
    ("eating", ["grazing", "eating grass", "feeding"]),
    ("standing", ["standing together", "standing around", "standing still"]),
    ("walking", ["walking along", "wandering around"]),
]
_PET = [
    ("resting", ["sleeping", "lying down", "taking a nap"]),
    ("sitting", ["sitting", "sitting still"]),
    ("playing", ["playing", "jumping around"]),
    ("looking", ["looking around", "staring at something"]),
]
OWN_ACTIONS: dict[str, list[tuple[str, list[str]]]] = {
    **dict.fromkeys(["car", "bus", "truck", "motorcycle"], _TRAFFIC),
    **dict.fromkeys(["horse", "sheep", "cow", "elephant", "zebra", "giraffe"], _GRAZING),
    **dict.fromkeys(["cat", "dog", "bear"], _PET),
    "bird": [("flying", ["flying", "soaring past"]), ("sitting", ["perched", "sitting"]), ("eating", ["eating seeds"])],
    "airplane": [("flying", ["flying overhead", "taking off", "landing"]), ("parked", ["parked", "waiting to depart"])],
    "train": [("driving", ["passing through", "pulling in", "travelling along"]), ("parked", ["stopped", "waiting"])],
    "boat": [("sailing", ["sailing", "floating", "drifting along"]), ("parked", ["docked", "tied up"])],
    "kite": [("flying", ["flying in the sky", "soaring in the air"])],
    "bicycle": [("parked", ["parked", "leaning against a wall", "locked up"])],
}
DEFAULT_OWN_ACTIONS = [("still", ["sitting", "placed", "on display", "set out", "resting"])]


class Setting(NamedTuple):
    """A kind of place: how it is called, what is found there and who comes.

    ``places`` are phrases with ``{m}`` where an adjective of mood may stand; ``view`` is what an empty place shows;
    ``focus`` are things a scene can be about, ``extras`` things that stand around, both with repetition as weight.
    """

    places: list[str]
    noun: str
    view: list[str]
    kinds: tuple[str, ...]
    people: float
    focus: str
    extras: str


SETTINGS = {
    "kitchen": Setting(
        ["in a {m}kitchen", "in a {m}home kitchen", "on a {m}kitchen counter"], "kitchen",
        ["wooden cabinets and tiles", "cupboards along the wall"], ("indoor", "home", "food"), 0.4,
        "oven,refrigerator,microwave,sink,bowl,carrot,broccoli,banana,cat,pizza,cake,toaster,apple,knife,orange",
        "oven,sink,refrigerator,microwave,bowl,cup,bottle,knife,spoon,toaster,potted plant,apple,orange,banana,clock",
    ),
    "dining room": Setting(
        ["in a {m}dining room", "at a {m}family dinner", "in the {m}dining area"], "dining room",
        ["curtains and a patterned rug"], ("indoor", "home", "food"), 0.55,
        "dining table,cake,wine glass,pizza,sandwich,cup,donut,orange,vase,bowl,apple",
        "dining table,dining table,chair,chair,fork,knife,spoon,cup,wine glass,bowl,bottle,vase,potted plant",
    ),
    "restaurant": Setting(
        ["in a {m}restaurant", "at a {m}cafe", "in a {m}diner"], "restaurant",
        ["a long counter and posters on the walls"], ("indoor", "public", "food"), 0.65,
        "pizza,hot dog,sandwich,donut,cake,wine glass,broccoli,carrot,cup,dining table,bottle",
        "dining table,dining table,fork,knife,cup,bottle,wine glass,chair,chair,bowl,spoon,handbag",
    ),
    "living room": Setting(
        ["in a {m}living room", "in a {m}family room", "in a {m}lounge"], "living room",
        ["a fireplace and a rug"], ("indoor", "home"), 0.5,
        "couch,couch,tv,remote,cat,dog,book,teddy bear,chair,laptop,potted plant,vase",
        "couch,tv,chair,potted plant,book,remote,vase,clock,cup,laptop,dining table",
    ),
    "bedroom": Setting(
        ["in a {m}bedroom", "in a {m}hotel room", "in a {m}guest room"], "bedroom",
        ["pillows and a lamp by the window"], ("indoor", "home"), 0.4,
        "bed,bed,bed,cat,dog,teddy bear,laptop,book,suitcase,clock",
        "bed,bed,chair,book,clock,tv,teddy bear,suitcase,vase,cell phone",
    ),
    "bathroom": Setting(
        ["in a {m}bathroom", "in a {m}restroom", "beside a shower in a {m}bathroom"], "bathroom",
        ["a bathtub and a large mirror"], ("indoor", "home"), 0.25,
        "toilet,toilet,toilet,sink,sink,toothbrush,hair drier,cat",
        "sink,sink,toilet,toothbrush,bottle,hair drier,cup,potted plant",
    ),
    "office": Setting(
        ["in an {m}office", "at a {m}desk", "on a {m}work desk"], "office",
        ["shelves and rows of empty cubicles"], ("indoor", "public", "work"), 0.55,
        "laptop,laptop,keyboard,mouse,cell phone,book,tie,cat,scissors,clock,chair",
        "keyboard,mouse,laptop,cup,book,chair,cell phone,tv,bottle,potted plant,scissors,backpack",
    ),
    "street": Setting(
        ["on a {m}city street", "on a {m}road", "at a {m}intersection", "in a {m}downtown area"], "street",
        ["tall buildings on both sides"], ("outdoor", "urban", "traffic"), 0.45,
        "bus,bus,car,truck,motorcycle,bicycle,traffic light,stop sign,fire hydrant,parking meter,skateboard,umbrella",
        "car,car,traffic light,traffic light,stop sign,parking meter,fire hydrant,truck,bicycle,handbag,backpack,bench",
    ),
    "station": Setting(
        ["at a {m}train station", "on a {m}railway platform", "on the tracks near a {m}station"], "train station",
        ["empty tracks and a long platform"], ("outdoor", "urban", "traffic"), 0.4,
        "train,train,train,train,suitcase,clock,cell phone",
        "suitcase,backpack,handbag,bench,clock,train,traffic light",
    ),
    "airport": Setting(
        ["at a {m}airport", "on a {m}runway", "on the tarmac of an {m}airport"], "airport",
        ["a control tower and wide open tarmac"], ("outdoor", "urban", "traffic"), 0.25,
        "airplane,airplane,airplane,airplane,suitcase,truck",
        "truck,suitcase,car,backpack,bus,airplane",
    ),
    "harbor": Setting(
        ["in a {m}harbor", "on a {m}lake", "on a {m}river", "by a {m}pier"], "harbor",
        ["calm water and hills in the distance"], ("outdoor", "water"), 0.4,
        "boat,boat,boat,boat,bird,bench",
        "boat,bird,bench,umbrella,dog,bicycle",
    ),
    "beach": Setting(
        ["on a {m}beach", "in the {m}ocean", "by the {m}sea"], "beach",
        ["waves rolling onto the sand"], ("outdoor", "water", "sport"), 0.75,
        "surfboard,surfboard,surfboard,kite,umbrella,frisbee,dog,bird,chair",
        "umbrella,chair,backpack,boat,surfboard,bird,kite,dog",
    ),
    "snow": Setting(
        ["on a {m}snowy slope", "on a {m}ski hill", "in the snow on a {m}mountain"], "ski slope",
        ["deep snow and pine trees"], ("outdoor", "nature", "sport"), 0.92,
        "skis,skis,skis,snowboard,snowboard,dog",
        "backpack,skis,snowboard,bench",
    ),
    "ballpark": Setting(
        ["on a {m}baseball field", "at a {m}ballpark", "during a {m}baseball game"], "baseball field",
        ["empty bleachers and a fence"], ("outdoor", "sport"), 0.95,
        "baseball bat,baseball bat,baseball glove,baseball glove,sports ball",
        "baseball glove,baseball bat,sports ball,bench,bottle,chair",
    ),
    "tennis court": Setting(
        ["on a {m}tennis court", "during a {m}tennis match", "at a {m}tennis club"], "tennis court",
        ["a net and painted lines"], ("outdoor", "sport"), 0.96,
        "tennis racket,tennis racket,tennis racket,sports ball",
        "sports ball,sports ball,chair,bottle,bench,tennis racket,clock",
    ),
    "park": Setting(
        ["in a {m}park", "on the grass in a {m}park", "near trees in a {m}park"], "park",
        ["tall trees along a gravel path"], ("outdoor", "nature", "leisure"), 0.6,
        "frisbee,kite,bench,dog,skateboard,bicycle,sports ball,bird,hot dog,umbrella,cell phone",
        "bench,dog,bicycle,backpack,bird,frisbee,handbag,sports ball,kite",
    ),
    "pasture": Setting(
        ["in a {m}pasture", "on a {m}farm", "in a {m}field with a fence", "on a {m}hillside"], "pasture",
        ["long grass and an old barn"], ("outdoor", "nature", "animals"), 0.2,
        "sheep,sheep,cow,cow,horse,horse,dog,bird",
        "horse,sheep,cow,dog,bird,truck",
    ),
    "savanna": Setting(
        ["on a {m}savanna", "in a {m}zoo enclosure", "near a {m}watering hole", "on a {m}safari plain"], "savanna",
        ["dry grass and a few trees"], ("outdoor", "nature", "animals"), 0.12,
        "elephant,elephant,giraffe,giraffe,zebra,zebra,bear",
        "zebra,giraffe,elephant,bird",
    ),
}  # fmt: skip


class Company(NamedTuple):
    """Who is there: how they are called and how many they may be."""

    phrases: list[str]
    least: int
    most: int


PEOPLE = {
    "man": Company(["a man", "a guy", "a young man", "a person", "an older man"], 1, 1),
    "woman": Company(["a woman", "a lady", "a young woman", "a person", "an older woman"], 1, 1),
    "boy": Company(["a boy", "a little boy", "a young boy", "a child"], 1, 1),
    "girl": Company(["a girl", "a little girl", "a young girl", "a child"], 1, 1),
    "couple": Company(["a couple", "a man and a woman", "two people", "two friends"], 2, 2),
    "children": Company(["two children", "some kids", "several children", "a few kids"], 2, 4),
    "group": Company(["a group of people", "several people", "a few people", "a crowd of people", "people"], 3, 8),
}
PLURAL_COMPANY = ("couple", "children", "group")


class Mood(NamedTuple):
    """The air of a scene: adjectives of the place and closing words (for people, for things)."""

    adjectives: list[str]
    people: list[str]
    things: list[str]


MOODS = {
    "cheerful": Mood(
        ["cheerful", "lively"], ["having fun", "with a big smile", "enjoying the moment"], ["in a cheerful mood"]
    ),
    "calm": Mood(["quiet", "peaceful"], ["looking relaxed", "in a calm moment"], ["in a peaceful scene"]),
    "busy": Mood(["busy", "crowded"], ["amid a lot of activity", "in a hurry"], ["amid a lot of activity"]),
    "intense": Mood(["tense", "exciting"], ["with great concentration", "looking very focused"], ["in a tense moment"]),
    "lonely": Mood(["deserted", "lonely"], ["looking sad", "with nobody around"], ["with nobody around"]),
}
