"""What reviews say about places and journeys: restaurant, hotel, airline. `lexicon` explains the form."""

VENUES = """
@ restaurant taste taste
n: soup, pasta/m, steak, curry, garlic bread/m, dessert, pizza, noodles/p, dumplings/p, risotto, seafood/m,
    salad, sauce, lasagna, tacos/p, grilled fish/m, lamb/m
+: tasty/tastier, flavorful, fresh/fresher, !delicious, !superb, authentic, well seasoned
-: bland/blander, stale/staler, greasy/greasier, soggy/soggier, dry/drier, cold/colder, tasteless, overcooked
v+: ~melt* in the mouth; ~arrive hot* and fresh*; ~burst/burst with flavor*
v-: ~arrive cold*; ~taste* of nothing; ~swim/swam in grease*; ~go/went* back to the kitchen
t: salty/saltier, sweet/sweeter, spicy/spicier, oily/oilier, heavy/heavier
@ restaurant taste taste
n: house wine/m, draft beer/m, cocktails/p, lemonade/m, iced tea/m, sangria/m, craft beers/p
+: crisp/crisper, cold/colder, refreshing, smooth/smoother, !delicious
-: warm/warmer, flat/flatter, watery, weak/weaker, sour
v+: ~arrive ice-cold*; ~go/went* well with everything
v-: ~arrive warm*; ~taste of tap water*
t: sweet/sweeter, strong/stronger, fruity/fruitier
@ restaurant service seem
n: waiter, waitress, waiters/p, host, bartender, server, owner, chef, sommelier, serving staff/m
+: friendly/friendlier, attentive, polite, charming, warm/warmer, helpful, sweet/sweeter
-: rude/ruder, careless, grumpy/grumpier, inattentive, pushy/pushier, cold/colder, sloppy/sloppier
v+: ~remember* our names; ~treat us like family*; ~recommend* a lovely* dish; ~apologize* for a tiny delay
v-: ~ignore* us for half an hour; ~forget/forgot* our drinks twice; ~mix* up every order; ~argue* with the
    next table
@ restaurant speed seem bare
n: kitchen, lunch service/m, takeout counter, order system
+: fast/faster, quick/quicker, prompt, efficient
-: slow/slower, sluggish, chaotic, inefficient
v+: ~serve us within minutes*; ~run/ran like clockwork*
v-: ~keep/kept us waiting* for an hour; ~lose/lost* our order twice
@ restaurant,hotel speed seem bare
n: wait, queue, line
+: short/shorter, brief/briefer, bearable
-: long/longer, !endless, tedious
v+: ~move* quickly*; ~take/took only five minutes*
v-: ~test* our patience; ~ruin* the evening
t: long
@ restaurant price seem bare
n: bill, menu prices/p, wine prices/p, cover charge, tasting menu price, lunch special price
+: fair/fairer, reasonable, modest, low/lower
-: steep/steeper, !outrageous, excessive, high/higher, inflated
v+: ~come/came as a pleasant* surprise; ~leave/left money* for dessert
v-: ~make/made our jaws drop*; ~spoil* the evening
t: high
@ restaurant,hotel,airline price - bare
n: @item
+: cheap/cheaper, affordable, inexpensive, good value
-: expensive, overpriced, pricey/pricier, costly/costlier
v+: ~cost/cost* less than expected; ~suit* every budget
v-: ~cost/cost* a small fortune; ~cost/cost* far too much
t: expensive
@ restaurant comfort feel own
n: chairs/p, booths/p, benches/p, terrace, bar stools/p, window seat
+: comfortable, cozy/cozier, soft/softer, inviting
-: hard/harder, wobbly/wobblier, cramped, uncomfortable, drafty/draftier
v+: ~invite* us to linger; ~make/made us feel at home*
v-: ~make/made our backs ache*; ~creak* at every move
t: hard, low/lower
@ restaurant appearance look own
n: decor/m, dining room, lighting/m, interior, plating/m, table setting, facade
+: charming, elegant, cozy/cozier, stylish, tasteful, romantic, !lovely
-: gloomy/gloomier, dark/darker, shabby/shabbier, dull/duller, dreary/drearier, gaudy/gaudier
v+: ~create* a romantic* mood; ~deserve* a photo
v-: ~remind us of a canteen*; ~kill* the mood
t: dark, bright/brighter
@ restaurant sound sound bare
n: music/m, live band, playlist, crowd at the bar, singer
+: quiet/quieter, soft/softer, soothing, calm/calmer
-: loud/louder, !deafening, noisy/noisier, annoying, harsh/harsher
v+: ~set/set a relaxed* mood; ~stay pleasantly* in the background
v-: ~drown* out our conversation; ~give/gave us a headache*
t: loud
@ restaurant size look own
n: portions/p, servings/p, side dishes/p, starters/p, appetizers/p, tapas/p
+: generous, big/bigger, hearty/heartier, large/larger, !enormous
-: !tiny, small/smaller, stingy/stingier, meager, light/lighter
v+: !~leave/left us full*; ~feed/fed two people easily*
v-: ~leave/left us hungry*; ~look* like free samples
t: small
@ restaurant cleanliness look
n: tables/p, cutlery/m, restroom, wine glasses/p, tablecloth, menus/p, open kitchen
+: clean/cleaner, !spotless, !immaculate, tidy/tidier
-: dirty/dirtier, sticky/stickier, greasy/greasier, grimy/grimier, !filthy, stained
v+: ~shine/shone*; ~sparkle*; ~make/made a hygienic* impression
v-: ~smell/smelled* of bleach; ~need* a good scrub
@ hotel comfort feel own
n: bed, mattress, pillows/p, duvet, sofa bed, armchair
+: comfortable, soft/softer, cozy/cozier, plush, warm/warmer
-: lumpy/lumpier, hard/harder, saggy/saggier, stiff/stiffer, thin/thinner, scratchy/scratchier
v+: ~send/sent us straight to sleep*; ~make/made it hard* to get up
v-: ~sag* in the middle; ~hurt/hurt* my back; ~squeak* all night
t: soft, warm, hard
@ hotel service seem
n: receptionist, front desk, concierge, porter, housekeeper, night manager, cleaning staff/m, bellhop, hotel
    staff/m
+: friendly/friendlier, welcoming, helpful, courteous, warm/warmer, attentive
-: rude/ruder, unhelpful, cold/colder, indifferent, grumpy/grumpier, arrogant
v+: ~upgrade* us for free; ~carry* our bags upstairs; ~greet us with a smile*; ~find/found* us a late table
v-: ~lose/lost* our reservation; ~ignore* our calls; ~shrug* at every question; ~charge* us twice
@ hotel speed seem
n: check-in, check-out, wifi/m, room service/m, shuttle bus, elevator
+: quick/quicker, fast/faster, smooth/smoother, prompt
-: slow/slower, sluggish, unreliable, chaotic
v+: !~work* without a hitch*; ~save* us a lot of time
v-: ~take/took forever*; ~test* our patience; ~fail* twice a day
@ hotel price seem bare
n: room rate, nightly rate, resort fee, parking fee, minibar prices/p, city tax
+: fair/fairer, reasonable, modest, low/lower
-: steep/steeper, !outrageous, excessive, high/higher, inflated
v+: ~include* breakfast and parking; ~drop* during the week
v-: ~double* over the weekend; ~appear* on the bill without warning
t: high
@ hotel appearance look own
n: lobby, view, furniture/m, garden, suite, balcony, bedroom, rooftop bar
+: charming, elegant, !lovely, !stunning, bright/brighter, picturesque
-: shabby/shabbier, dated, gloomy/gloomier, drab/drabber, dreary/drearier, dark/darker
v+: ~look even better* than in the photos; ~take/took our breath* away
v-: ~need* a coat of paint; ~disappoint* us at first sight
t: dark
@ hotel sound seem bare
n: street outside, hallway, courtyard, pool area, room next door, air conditioner, bar downstairs
+: quiet/quieter, calm/calmer, peaceful, !silent
-: noisy/noisier, loud/louder, rowdy/rowdier, !deafening
v+: ~let/let us sleep* in; !~stay quiet* after ten
v-: ~keep/kept us awake*; ~wake/woke* us at dawn
t: loud
@ hotel cleanliness look
n: bathroom, bed sheets/p, towels/p, carpet, shower, bathtub, swimming pool, curtains/p
+: clean/cleaner, !spotless, fresh/fresher, !immaculate
-: dirty/dirtier, !filthy, stained, grimy/grimier, moldy/moldier, dusty/dustier
v+: ~smell/smelled of fresh* laundry; ~shine/shone*
v-: ~smell/smelled of smoke*; ~put/put* us off completely
@ hotel size seem own
n: bedroom, bathroom, closet, swimming pool, balcony, wardrobe, family room
+: spacious, roomy/roomier, large/larger, big/bigger, generous
-: !tiny, cramped, small/smaller, narrow/narrower, poky/pokier
v+: ~leave/left plenty* of space; ~offer* more space than our apartment
v-: ~leave/left no space* to turn around; ~hold/held* one person at most
t: small, narrow
@ hotel taste taste
n: breakfast, breakfast buffet, morning coffee/m, pastries/p, scrambled eggs/p, croissants/p, orange juice/m
+: tasty/tastier, fresh/fresher, !delicious, varied
-: stale/staler, bland/blander, cold/colder, watery, tasteless
v+: ~start* the day nicely*; ~make/made us go back for more*
v-: ~taste of cardboard*; ~send/sent* us to the bakery next door
t: cold, sweet/sweeter
@ hotel quality seem own
n: shower, heating/m, door lock, bathroom faucet, television, kettle in the room
+: reliable, modern, sturdy/sturdier, solid
-: leaky/leakier, rusty/rustier, faulty, unreliable, broken
v+: !~work* perfectly*; ~do/did* its job
v-: ~leak* all night; ~break/broke* on the first day; ~stop* working
@ airline comfort feel own
n: seat, window seat, headrest, seat cushion, blanket, neck pillow
+: comfortable, soft/softer, cozy/cozier, padded, plush
-: hard/harder, stiff/stiffer, thin/thinner, lumpy/lumpier, scratchy/scratchier, uncomfortable
v+: ~let/let me sleep* for hours; ~make/made the trip a pleasure*
v-: ~hurt/hurt* my back; ~keep/kept me awake*; ~smell/smelled* of sweat
t: hard, thin
@ airline service seem
n: cabin crew, flight attendant, pilot, gate agent, steward, check-in agent, ground crew, captain
+: friendly/friendlier, courteous, helpful, calm/calmer, warm/warmer, attentive
-: rude/ruder, unhelpful, cold/colder, indifferent, impatient, arrogant
v+: ~offer* us free drinks; ~calm* the nervous passengers; ~keep/kept us informed*
v-: ~ignore* the call button; ~lose/lost* patience; ~snap* at an old lady
@ airline speed seem bare
n: boarding process, check-in line, baggage claim, departure, transfer, security line, takeoff
+: quick/quicker, smooth/smoother, prompt, fast/faster, punctual
-: slow/slower, late/later, chaotic, sluggish
v+: ~run/ran like clockwork*; ~go/went ahead on time*
v-: ~take/took over two long* hours; ~make/made us miss* our train
@ airline price seem bare
n: fare, ticket price, baggage fees/p, seat fees/p, upgrade price, booking fee
+: fair/fairer, reasonable, modest, low/lower
-: steep/steeper, !outrageous, excessive, high/higher, inflated
v+: ~beat/beat* the train by far; ~include* a checked bag
v-: ~double* overnight; ~come/came as a nasty* shock
t: high
@ airline appearance look own
n: cabin, seat fabric, galley, cabin lighting/m, departure lounge
+: bright/brighter, modern, stylish, sleek/sleeker, elegant
-: shabby/shabbier, dated, dark/darker, worn, gloomy/gloomier
v+: ~look brand new*; ~impress* everyone on board
v-: ~show* its age; ~remind me of an old* bus
t: dark, bright
@ airline sound sound bare
n: engine, cabin, intercom, row behind us, air vent
+: quiet/quieter, calm/calmer, !silent
-: loud/louder, noisy/noisier, !deafening, annoying
v+: ~let/let us talk* in a normal voice; ~stay quiet* all night
v-: ~drown* out every movie; ~rattle* all the way
t: loud
@ airline cleanliness look
n: lavatory, tray table, cabin floor, cabin window, seat pocket, headrest cover
+: clean/cleaner, !spotless, tidy/tidier, !immaculate
-: dirty/dirtier, sticky/stickier, !filthy, grimy/grimier, stained
v+: ~shine/shone*; ~smell/smelled fresh*
v-: ~smell/smelled* of old socks; ~disgust* the whole row
@ airline size seem own
n: legroom/m, overhead bin, aisle, seat pitch, middle seat, lavatory
+: generous, wide/wider, roomy/roomier, spacious
-: tight/tighter, narrow/narrower, !tiny, cramped, small/smaller
v+: ~leave/left space* for my backpack; ~surprise us pleasantly*
v-: ~leave/left my knees aching*; ~make/made me feel trapped*
t: narrow, small
@ airline taste taste
n: in-flight meal, chicken curry, vegetarian pasta/m, cheese sandwich, airline coffee/m, snack box, bread roll
+: tasty/tastier, hot/hotter, fresh/fresher, !delicious
-: stale/staler, cold/colder, bland/blander, dry/drier, soggy/soggier, tasteless
v+: ~taste homemade*; ~exceed* my expectations
v-: ~arrive half frozen*; ~taste of plastic*; ~make/made me feel sick*
t: salty/saltier, dry, spicy/spicier
@ airline quality seem own
n: seat screen, headphone jack, power outlet, armrest, reading light, seat belt
+: reliable, modern, sturdy/sturdier, solid
-: broken, loose/looser, faulty, flimsy/flimsier, unreliable
v+: !~work* perfectly*; ~do/did* its job
v-: ~break/broke* before takeoff; ~stop* working over the ocean; ~come/came* off in my hand
"""
