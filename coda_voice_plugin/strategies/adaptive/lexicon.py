"""The words and phrases by which the rules know a turn; ``^`` only where a clause begins."""

from __future__ import annotations


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", " ").split(",") if part.strip())


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for look-ups."""
    return frozenset(text.split())


PHRASES: dict[str, tuple[str, ...]] = {
    # towards the language model
    "how_to": _list("""how to, how do i, how can i, how should i, how would i, how do
        we, what is the best way to, best way to, the rules of, not working, does not
        work, how do you say, how do you make, how do you spell, how do you fix, how do
        you cook, how do you get, how do you tie, how do you use, how do you write, how
        do you play chess"""),
    "how_much": _list("""how many, how much, how long, how far, how old is, how old was,
        how old are the, how old will, how tall, how big, how deep, how fast, how heavy,
        how high, how often, how large, how hot is, how cold is, how wide, how much
        does, at what temperature, what temperature, population of, distance from,
        distance between, speed of, price of"""),
    "remember": _list("""^remember that, ^remember my, ^remember i, ^remember where,
        ^remember the, ^remember this, ^do not forget, ^never forget that, keep in mind,
        note that, make a note, take a note, write this down, write that down, remember
        that please, remember this please, from now on, ^call me, note down, remember
        it, save this, save that"""),
    "remind": _list("""remind me to, remind me about, remind me at, remind me in,
        remind me when, reminder, ^remind me, remind us to, wake me, alarm for, anything
        i should remember"""),
    "recall": _list("""what did i, what did we, what did you tell me, where did i,
        where did we, when did i, who did i, did i tell, did i say, did i forget, did i
        lock, what was my, what is my, where is my, when is my, who is my, who called
        me, do you know my, do you remember, you remember what, last time you, last time
        we, remember when i told, i told you, i gave you, you gave me, i said yesterday,
        our last conversation, remember me, do i have any, is there anything i, while i
        was out, my next appointment"""),
    "explain": _list("""tell me about, tell me more about, tell me something about, tell
        me how, tell me why, tell me what, tell me who, tell me when, tell me where,
        tell me the, tell us about, explain, explain to me, describe, define, definition
        of, teach me, what does, the meaning of, difference between, the history of, an
        overview of, i want to know, i need to know, give me an example, in simple
        words, what happened in, quiz me, ask me questions, know more about, is it true,
        wondered who, wondering why"""),
    "current": _list("""news, headlines, weather, forecast, stock market, score,
        traffic, umbrella, what time, what day, the date, which day, latest, open on,
        does it open, close, at the cinema, near me, nearest, next bus, next train, next
        flight, right now in, who won, is it raining, is it snowing, will it rain, will
        it snow, right now, currently, time is it, around here, did they win"""),
    "compute": _list("""plus, minus, times, divided by, percent, percent of, square
        root, convert, add up, multiply, multiplied by, subtract, per cent, in celsius,
        in fahrenheit, in euros, in dollars, in kilometers, in miles, how much is, half
        of, average of, sum of, calculate"""),
    "writing": _list("""^write, ^translate, ^summarize, ^draft, ^compose, ^rewrite,
        ^proofread, ^spell, translate this, write me, write an, write a, synonym for,
        another word for, an essay, my essay, a report, my homework, homework, correct
        this, summary of, in french, in spanish, in german, in japanese, word for, make
        it shorter, say it in one sentence"""),
    "advice": _list("""should i, should we, recommend, suggest, suggestion, ideas for,
        gift ideas, what helps, help me prepare, help me choose, plan a, what can i do,
        what do i do, what could i make, what can i make, what can i take, would you
        suggest, good name for, names for, which one should, do i need, ^help me with, i
        need help, can you help me, help with, arguments for, can i take, can i pay, can
        my"""),
    "doubt": _list("""are you sure about, is that true, is that really, is it really
        true, that can not be right, that is wrong, that is not right, where did you
        get, am i right, is that right, settle a bet, how exactly, what exactly, exactly
        how"""),
    "crisis": _list("""do not want to live, kill myself, hurting myself, hurt myself,
        end my life, suicide, is not breathing, not breathing, is choking, call an
        ambulance, unconscious, heart attack, overdose, emergency"""),
    "own_working": _list("""are you made, you are made, were you made, were you built, are
        you built, do you work inside, how do you work, which model, what model, what
        version, what can you do, what can you help, which tools, what tools, are you
        running on, were you trained"""),
    # towards Moshi
    "greeting": _list("""^hello, ^hi, ^hey, good morning, good evening, good afternoon,
        ^morning, it is me again, ^i am back, nice to meet you, nice to hear you, ^sup"""),
    "farewell": _list("""bye, goodbye, good night, see you, talk to you later, take care,
        have to go now, got to go, should get going, better be off, nice talking, nice
        chatting, sleep well, enjoy your, have a nice, have a great, have a good,
        enjoyed this"""),
    "thanks": _list("""thanks, thank you, thankful, appreciate it, appreciate that,
        that helped, very helpful, you are welcome, welcome anytime"""),
    "how_are_you": _list("""how are you, how are you doing, how are you feeling, how is it
        going, how is everything, what is up, how was your, how has your, how is your,
        how do you feel, are you okay, you doing, are you doing well, are you feeling,
        how are things, up to, how have you been"""),
    "joke": _list("""joke, jokes, another one, knock knock, make me laugh, riddle,
        something funny, tongue twisters"""),
    "performance": _list("""sing, ^sing me, sing something, a song for me, tell me a story,
        bedtime story, a little story, whisper, like a pirate, like a robot, cheer me
        up, say something, a game, play i spy, let us play, pick a number, think of a
        number"""),
    "invitation": _list("""let us talk, let us chat, want to talk, can we talk, to chat, a
        chat, chat a bit, talk about something fun, keep a secret, can i tell you, want
        to tell you, let me tell you, just talk, guess what, guess how, you will not
        believe, talk to someone, you know what i"""),
    "manner": _list("""slower, louder, quieter, not so fast, ^say that again, ^pardon,
        come again, ^wait, ^hold on, ^hang on, a minute, a second, ^stop, be quiet, shut
        up, ^go on, ^sorry what, can you hear me, are you there, still there, are you
        listening, my phone is ringing, at the door, talking to my, talking to you,
        talking to the, ^not you, testing, test test, where was i, what was i saying"""),
    "apology": _list("""sorry, no worries, never mind, do not worry, forget it, that is
        okay, no problem, did not mean that, forget about it"""),
    "praise": _list("""well done, good job, nice work, good for you, congratulations,
        your voice, you are so, you are pretty, you are a good, you are right, you are
        sweet, i love you, i like you, i missed you, you are funny, you are annoying,
        how nice, how sweet, how cool is that, how lovely, how interesting, how funny,
        you talk too"""),
    "wish": _list("""happy birthday, merry christmas, happy new year, good luck, wish
        me luck, cheers, bless you, i wish i, fingers crossed, i would love to"""),
    "feeling": _list("""i feel, i am feeling, feeling, tired, sad, happy, bored, lonely,
        nervous, anxious, angry, mad, stressed, stressful, hungry, starving, excited,
        proud, exhausted, relieved, afraid, scared, depressing, boring, crazy, cozy, i
        love, i hate, i miss, i can not wait, can not stand, can not believe, can you
        believe, headache, hurts, hurt, cold, hot, killing me, passed away, i missed,
        left me, broke up, a fight, an argument, the worst, so good, so bad, lovely,
        beautiful, weird, ugh, brr, yay, so much work, so cute, freezing"""),
    "opinion": _list("""i think, i believe, i guess, i agree, i disagree, do you think,
        what do you think, in my opinion, i do not think so, i do not care, i do not
        buy, makes sense, honestly, do you believe in, for me, totally, if you could,
        would you like, do you prefer"""),
    "exclamation": _list("""^what a day, ^what a, ^what an, no way, wow, you are kidding,
        are you serious, who cares, who knows, so what, why me, why does this always,
        that is life, is so hard, thank god, oh really, get out of here, good boy,
        reminds me of, you remind me"""),
}
"""Reason to what it is known by."""

ACKNOWLEDGING = word_set("""yes yeah yep no nope okay ok alright sure right exactly i see oh ah uh
    huh hm mhm mm hmm um er well got it understood cool nice great awesome wonderful wow really
    seriously haha ha that is that's good to know of course why not true maybe perhaps do not
    know idea me too same here so do interesting fine thanks thank you not bad all please then
    clue have guess amazing all right whatever you anyway course are oh sounds agree""")
"""A turn of these words alone takes note of what was said."""
QUESTION_WORDS = word_set("what who whom whose where when which why how")
YES_NO_WORDS = word_set("""is are was were do does did has have can could will would should am may
    might""")
COMMANDS = word_set("""set turn switch play open close call send add book find search show start
    stop cancel put skip lock unlock delete save read move make text phone order buy pause
    resume mute dim check look name list give plan schedule convert calculate solve compare
    recommend suggest bring download print create update remove summarize translate write
    draft""")
EVERYDAY = word_set("""a an the of to in on at for with by from about as and or but if that this
    these those there here it its he she they we i you me my your our their his her him them
    us is are was were be been am do does did have has had can could will would should may
    might must not no yes so too very really just also then than up down out over now still
    again what who whom whose where when which why how one ones thing things something
    anything nothing someone anyone going go get got like want need know think say said tell
    mean day today tonight please ever always never much many some any all good nice more else
    funny wrong happening happen happened doing come came okay well right favorite favourite
    kind sort let time next even only sure yourself myself always life laughing saying
    everything cares boss""")
"""Words that name nothing one could look up."""
POINTING = word_set("that it this those these he she him them they one ones her his")
FOLLOW_UPS = _list("""^what about, ^how about, ^why is that, ^why, ^how come, ^tell me
        more, ^more details, ^go on, ^for example, ^what else, ^which one, ^which of,
        ^who was he, ^who was she, ^what do you mean, ^what does that mean, ^how do you
        mean, ^what is that supposed, ^and in, ^and on, ^and tomorrow, ^and the, ^and
        you, ^what happened next, ^what comes next, ^what is next, ^what now, ^and
        after, ^are you sure, ^is that, ^i meant, ^not the, ^make it, ^instead, the
        other one, ^in simpler, ^shorter, ^say it, ^cancel that, ^cancel it, ^do that,
        ^another one, ^one more, ^me too, ^same here, ^so do i, the second step, ^say
        that again, ^and what, ^and how, ^and why, ^and then, ^and when, ^and who, ^and
        where, ^hear more, ^how does that, ^what was the, ^yes please, can you give me
        an example""")
NUMBERS = word_set("""two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty
    seventy eighty ninety hundred thousand million billion half quarter dozen first second
    third""")
UNITS = word_set("""mile miles kilometer kilometers kilometre kilometres meter meters metre
    metres inch inches foot feet yard yards gram grams kilo kilos kilogram kilograms pound
    pounds ounce ounces liter liters litre litres gallon gallons cup cups degree degrees
    celsius fahrenheit euro euros dollar dollars percent minute minutes hour hours calorie
    calories volt volts watt watts mb gb km kg cm mm milliliters""")
DATES = word_set("""monday tuesday wednesday thursday friday saturday sunday january february
    march april june july august september october november december tomorrow yesterday noon
    midnight christmas easter o'clock am pm week month year century weekend""")
SUBJECTS = word_set("""capital president country countries city continent river mountain ocean
    planet planets moon star stars earth universe history war revolution empire king queen
    century invented invention discovered physics chemistry biology math mathematics science
    formula equation theory atom atomic molecule dna cell cells virus bacteria vaccine
    vaccines symptoms medicine aspirin ibuprofen dose doctor fever flu law legal landlord tax
    taxes visa passport interest loan mortgage insurance economy inflation currency python
    code function program server router wifi computer laptop linux git error bug battery
    batteries engine engines recipe ingredients bake boil cook oven climate energy solar
    volcano dinosaur dinosaurs animal animals species insect insects mammal language languages
    grammar word author novel film actor band composer painter olympics medal medals
    championship chess temperature gravity evolution philosophy religion parliament election
    temperature distance population symptoms grapes milk fruit fruits vitamin""")
IDLE_IN_TOOLS = word_set("""get set use user users tool tools make do the a an to of for in on and
    or with from by it its this that given return returns name names value values list current
    what which who when how can will new all any one say says tell ask text words word time
    thing things me my you your i is are not as at be if into out up about so no yes good then
    than them they their there here""")
"""Words of a tool's name and description that say nothing about what it covers."""
