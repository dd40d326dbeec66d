"""Emoji by name, as people write them: ``:tada:``. Some three hundred, those that get used."""

from __future__ import annotations

import re
from typing import Final

from gochat.protocol.text import UNSPACED, TextTokenKind, tokens

_TABLE: Final = """
smile 😄 smiley 😃 grin 😁 grinning 😀 laughing 😆 joy 😂 rofl 🤣 sweat_smile 😅 slight_smile 🙂
upside_down 🙃 wink 😉 blush 😊 innocent 😇 heart_eyes 😍 star_struck 🤩 kiss 😘 yum 😋
tongue 😛 wink_tongue 😜 zany 🤪 money_face 🤑 hug 🤗 hand_over_mouth 🤭 shush 🤫 thinking 🤔
zipper 🤐 raised_eyebrow 🤨 neutral 😐 expressionless 😑 no_mouth 😶 smirk 😏 unamused 😒
rolling_eyes 🙄 grimace 😬 lying 🤥 relieved 😌 pensive 😔 sleepy 😪 drooling 🤤 sleeping 😴
mask 😷 sick 🤒 hurt 🤕 nauseated 🤢 sneeze 🤧 hot 🥵 cold 🥶 woozy 🥴 dizzy_face 😵
mind_blown 🤯 cowboy 🤠 party_face 🥳 sunglasses 😎 nerd 🤓 monocle 🧐 confused 😕 worried 😟
frown 🙁 open_mouth 😮 hushed 😯 astonished 😲 flushed 😳 pleading 🥺 anguished 😧 fearful 😨
cold_sweat 😰 cry 😢 sob 😭 scream 😱 confounded 😖 disappointed 😞 sweat 😓 weary 😩 tired 😫
yawn 🥱 triumph 😤 rage 😡 angry 😠 cursing 🤬 smiling_imp 😈 skull 💀 poop 💩 clown 🤡 ghost 👻
alien 👽 robot 🤖 cat_face 😺 see_no_evil 🙈 hear_no_evil 🙉 speak_no_evil 🙊 kiss_mark 💋
love_letter 💌 heart ❤️ orange_heart 🧡 yellow_heart 💛 green_heart 💚 blue_heart 💙
purple_heart 💜 black_heart 🖤 white_heart 🤍 broken_heart 💔 two_hearts 💕 sparkling_heart 💖
hundred 💯 anger 💢 boom 💥 dizzy 💫 sweat_drops 💦 dash 💨 bomb 💣 speech 💬 thought 💭 zzz 💤
wave 👋 raised_hand ✋ vulcan 🖖 ok_hand 👌 pinch 🤏 victory ✌️ crossed_fingers 🤞 metal 🤘
call_me 🤙 point_left 👈 point_right 👉 point_up 👆 point_down 👇 thumbsup 👍 +1 👍
thumbsdown 👎 -1 👎 fist ✊ punch 👊 clap 👏 raised_hands 🙌 open_hands 👐 handshake 🤝 pray 🙏
writing ✍️ selfie 🤳 muscle 💪 ear 👂 eyes 👀 eye 👁️ brain 🧠 baby 👶 child 🧒 person 🧑
man 👨 woman 👩 old 🧓 shrug 🤷 facepalm 🤦 bow 🙇 raising_hand 🙋 detective 🕵️ ninja 🥷
superhero 🦸 mage 🧙 zombie 🧟 walking 🚶 running 🏃 dancer 💃 family 👪 footprints 👣 monkey 🐒
dog 🐶 fox 🦊 cat 🐱 lion 🦁 tiger 🐯 horse 🐴 unicorn 🦄 cow 🐮 pig 🐷 goat 🐐 camel 🐫
elephant 🐘 mouse 🐭 hamster 🐹 rabbit 🐰 hedgehog 🦔 bat 🦇 bear 🐻 koala 🐨 panda 🐼 sloth 🦥
otter 🦦 chicken 🐔 chick 🐤 bird 🐦 penguin 🐧 duck 🦆 owl 🦉 flamingo 🦩 frog 🐸 crocodile 🐊
turtle 🐢 snake 🐍 dragon 🐉 whale 🐳 dolphin 🐬 fish 🐟 octopus 🐙 snail 🐌 butterfly 🦋 bug 🐛
ant 🐜 bee 🐝 ladybug 🐞 spider 🕷️ crab 🦀 shrimp 🦐 bouquet 💐 cherry_blossom 🌸 rose 🌹
sunflower 🌻 tulip 🌷 seedling 🌱 tree 🌳 palm 🌴 cactus 🌵 clover 🍀 maple_leaf 🍁 mushroom 🍄
grapes 🍇 melon 🍈 watermelon 🍉 lemon 🍋 banana 🍌 pineapple 🍍 mango 🥭 apple 🍎 pear 🍐
peach 🍑 cherries 🍒 strawberry 🍓 kiwi 🥝 tomato 🍅 avocado 🥑 eggplant 🍆 potato 🥔 carrot 🥕
corn 🌽 pepper 🌶️ broccoli 🥦 garlic 🧄 onion 🧅 bread 🍞 croissant 🥐 baguette 🥖 pretzel 🥨
bagel 🥯 pancakes 🥞 cheese 🧀 bacon 🥓 burger 🍔 fries 🍟 pizza 🍕 hotdog 🌭 sandwich 🥪
taco 🌮 burrito 🌯 egg 🥚 salad 🥗 popcorn 🍿 bento 🍱 rice 🍚 curry 🍛 ramen 🍜 spaghetti 🍝
sushi 🍣 dumpling 🥟 cookie 🍪 cake 🍰 birthday 🎂 cupcake 🧁 pie 🥧 chocolate 🍫 candy 🍬
doughnut 🍩 icecream 🍨 coffee ☕ tea 🍵 wine 🍷 cocktail 🍸 beer 🍺 beers 🍻 champagne 🍾
cheers 🥂 milk 🥛 juice 🧃 earth 🌍 map 🗺️ mountain ⛰️ volcano 🌋 camping 🏕️ beach 🏖️
desert 🏜️ island 🏝️ house 🏠 office 🏢 hospital 🏥 bank 🏦 school 🏫 factory 🏭 castle 🏰
tent ⛺ sunrise 🌅 city 🏙️ bridge 🌉 train 🚆 metro 🚇 tram 🚊 bus 🚌 ambulance 🚑
fire_engine 🚒 police_car 🚓 taxi 🚕 car 🚗 truck 🚚 tractor 🚜 bike 🚲 scooter 🛴 fuel ⛽
anchor ⚓ sailboat ⛵ ship 🚢 plane ✈️ helicopter 🚁 rocket 🚀 ufo 🛸 hourglass ⏳ watch ⌚
alarm ⏰ stopwatch ⏱️ clock 🕐 moon 🌙 full_moon 🌕 sun ☀️ sun_face 🌞 star ⭐
glowing_star 🌟 cloud ☁️ partly_sunny ⛅ rain 🌧️ thunder ⛈️ snow 🌨️ tornado 🌪️
fog 🌫️ rainbow 🌈 umbrella ☔ zap ⚡ snowflake ❄️ snowman ⛄ fire 🔥 droplet 💧 ocean 🌊
jack_o_lantern 🎃 christmas_tree 🎄 fireworks 🎆 sparkler 🎇 sparkles ✨ balloon 🎈 tada 🎉
confetti 🎊 gift 🎁 ribbon 🎀 ticket 🎫 trophy 🏆 medal 🏅 gold 🥇 silver 🥈 bronze 🥉 soccer ⚽
basketball 🏀 football 🏈 tennis 🎾 bowling 🎳 golf ⛳ fishing 🎣 ski 🎿 dart 🎯 yoyo 🪀
video_game 🎮 slot 🎰 dice 🎲 puzzle 🧩 teddy 🧸 chess ♟️ art 🎨 thread 🧵 yarn 🧶 glasses 👓
shirt 👕 jeans 👖 scarf 🧣 gloves 🧤 socks 🧦 dress 👗 bag 👜 backpack 🎒 shoe 👞 boot 👢
crown 👑 hat 🎩 cap 🧢 gem 💎 ring 💍 mute 🔇 speaker 🔊 megaphone 📣 bell 🔔 no_bell 🔕
music 🎵 notes 🎶 mic 🎤 headphones 🎧 radio 📻 saxophone 🎷 guitar 🎸 piano 🎹 trumpet 🎺
violin 🎻 drum 🥁 phone 📱 telephone ☎️ battery 🔋 plug 🔌 laptop 💻 desktop 🖥️ printer 🖨️
keyboard ⌨️ floppy 💾 cd 💿 movie 🎥 tv 📺 camera 📷 mag 🔍 candle 🕯️ bulb 💡 flashlight 🔦
book 📖 books 📚 notebook 📓 newspaper 📰 bookmark 🔖 label 🏷️ money 💰 dollar 💵 euro 💶
card 💳 receipt 🧾 email 📧 inbox 📥 outbox 📤 package 📦 mailbox 📫 pencil ✏️ pen 🖊️
memo 📝 folder 📁 calendar 📅 chart 📊 chart_up 📈 chart_down 📉 clipboard 📋 pin 📌
paperclip 📎 ruler 📏 scissors ✂️ trash 🗑️ lock 🔒 unlock 🔓 key 🔑 hammer 🔨 axe 🪓
wrench 🔧 screwdriver 🪛 gear ⚙️ link 🔗 magnet 🧲 test_tube 🧪 dna 🧬 microscope 🔬
telescope 🔭 satellite 📡 syringe 💉 pill 💊 door 🚪 bed 🛏️ toilet 🚽 shower 🚿 soap 🧼
broom 🧹 shopping 🛒 warning ⚠️ no_entry ⛔ prohibited 🚫 radioactive ☢️ up ⬆️ down ⬇️
left ⬅️ right ➡️ back 🔙 soon 🔜 infinity ♾️ recycle ♻️ check ✅ checkmark ✔️ x ❌
plus ➕ minus ➖ question ❓ exclamation ❗ copyright ©️ red_circle 🔴 orange_circle 🟠
yellow_circle 🟡 green_circle 🟢 blue_circle 🔵 purple_circle 🟣 black_circle ⚫ white_circle ⚪
flag 🏁 red_flag 🚩 white_flag 🏳️ pirate 🏴‍☠️ ok 🆗 new 🆕 free 🆓 cool 🆒 sos 🆘
construction 🚧 stop 🛑 eyes_in 👁️‍🗨️ ship_it 🚢 lgtm 👍 party 🎉 thanks 🙏 palm_tree 🌴
"""


def _read() -> dict[str, str]:
    words = _TABLE.split()
    return dict(zip(words[::2], words[1::2], strict=True))


#: All emoji, by name.
EMOJI: Final = _read()

#: Those that are offered first to react with.
USUAL: Final = ("thumbsup", "heart", "joy", "tada", "eyes", "check", "pray", "fire")

#: Not within a word: `10:x:30` names none. Scripts without spaces have no such words.
_NAMED: Final = re.compile(
    rf"(?:(?<!\w)|(?<={UNSPACED})):([a-z0-9_+\-]{{1,32}}):(?:(?!\w)|(?={UNSPACED}))"
)
#: In these a name is what is written.
_LITERAL: Final = (TextTokenKind.BLOCK, TextTokenKind.CODE, TextTokenKind.LINK)


def matching(start: str, limit: int = 50) -> list[tuple[str, str]]:
    """Return names and emoji: the names that begin with `start`, shortest first, then others."""
    start = start.casefold()
    first = [(name, sign) for name, sign in EMOJI.items() if name.startswith(start)]
    first.sort(key=lambda pair: len(pair[0]))
    others = [
        (name, sign) for name, sign in EMOJI.items() if start in name and not name.startswith(start)
    ]
    return (first + others)[:limit]


def just_named(text: str) -> tuple[int, str] | None:
    """Return where ``:name:`` begins that `text` ends with, and its emoji, or None."""
    start = text.rfind(":", 0, len(text) - 1)
    found = _NAMED.fullmatch(text, start) if start >= 0 else None
    # The code that it stands in may not have its end yet.
    if found is None or text.count("`", 0, start) % 2:
        return None
    sign = EMOJI.get(found[1])
    return None if sign is None else (found.start(), sign)


def with_emoji(text: str) -> str:
    """Return `text` with the emoji that it names, except in code and addresses."""
    if _NAMED.search(text) is None:  # most texts, and perhaps a very long one
        return text
    parts, position = [], 0
    for token in tokens(text):
        if token.kind in _LITERAL:
            parts += [_replaced(text[position : token.start]), text[token.start : token.end]]
            position = token.end
    return "".join([*parts, _replaced(text[position:])])


def _replaced(text: str) -> str:
    return _NAMED.sub(lambda found: EMOJI.get(found[1], found[0]), text)
