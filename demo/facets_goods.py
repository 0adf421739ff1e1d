"""What reviews say about things one buys: electronics, kitchen, clothing. `lexicon` explains the form."""

GOODS = """
@ headphone,speaker sound sound own
n: sound, bass, treble, sound quality/m, audio/m, stereo effect
+: crisp/crisper, rich/richer, clear/clearer, full/fuller, warm/warmer, balanced, punchy/punchier,
    loud/louder, !superb
-: muddy/muddier, tinny/tinnier, flat/flatter, hollow, harsh/harsher, distorted, thin/thinner, shrill
v+: !~fill* even a large room; ~stay clean* at full volume; ~bring/brought old songs back to life*
v-: ~crackle* at high volume; ~vanish* as soon as a bus drives by; ~hurt/hurt* my ears after an hour
t: loud, sharp/sharper, quiet/quieter
@ computer,camera sound - own bare
n: fan@computer, cooling fan@computer, keyboard@computer, zoom motor@camera, shutter@camera
+: quiet/quieter, !silent, discreet
-: loud/louder, noisy/noisier, shrill, !deafening
v+: ~stay quiet* under heavy use; ~go/went* unnoticed* in a library
v-: ~whine* from morning to night; ~drown* out every video call@computer; ~scare* off every bird@camera
t: loud
@ headphone comfort feel own
n: padding/m, ear cushions/p, ear pads/p
+: comfortable, soft/softer, light/lighter, gentle/gentler, snug/snugger
-: tight/tighter, stiff/stiffer, painful, uncomfortable, itchy/itchier
v+: ~allow* hours of listening; ~suit* small ears
v-: ~press* against my glasses; ~give/gave me a headache*
t: tight, hot/hotter
@ computer,camera comfort feel own
n: grip@camera, strap@camera, keyboard@computer, touchpad@computer
+: comfortable, soft/softer, smooth/smoother, ergonomic
-: stiff/stiffer, awkward, slippery, uncomfortable, rough/rougher
v+: ~sit/sat* well in the hand@camera; ~suit* long evenings of typing@computer
v-: ~tire* my hands; ~slip* when my fingers are damp
@ electronics quality feel own
n: casing, charging port, power button, charging cable, hinge@computer|headphone, lens cap@camera,
    antenna@speaker
+: sturdy/sturdier, solid, durable, reliable, robust, well made
-: flimsy/flimsier, cheap/cheaper, fragile, brittle, loose/looser, wobbly/wobblier, poorly made
v+: ~survive* two drops onto concrete; ~look as good* as new after a year
v-: ~crack* within a week; ~come/came loose* after a month; ~break/broke* almost at once
@ electronics quality seem own
n: battery
+: reliable, dependable, strong/stronger, long-lasting, powerful
-: weak/weaker, unreliable, short-lived, faulty, !useless
v+: !~last* all day; !~hold/held* a charge for days; ~outlast* a whole weekend trip
v-: ~die* before lunch; ~drain* overnight; ~need* charging twice a day
@ computer,camera appearance look own
n: screen, display, viewfinder@camera, touchscreen@computer, image
+: sharp/sharper, bright/brighter, vivid, crisp/crisper, !gorgeous, detailed
-: dim/dimmer, dull/duller, grainy/grainier, blurry/blurrier, washed-out
v+: ~show* every detail; !~stay readable* in direct sunlight
v-: ~flicker* at low brightness; ~wash* out in the sun
t: dark/darker, bright
@ electronics appearance look own
n: finish, design, color scheme, styling/m
+: elegant, sleek/sleeker, stylish, modern, handsome, tasteful
-: ugly/uglier, dated, boring, tacky/tackier, gaudy/gaudier, clumsy/clumsier
v+: ~draw/drew compliments* from friends; ~catch/caught* the eye
v-: ~remind me of a toy*; ~belong* in a museum
t: plain/plainer, shiny/shinier
@ computer,camera speed seem own
n: processor, software/m, menu system, autofocus@camera, web browser@computer, interface
+: fast/faster, responsive, snappy/snappier, smooth/smoother, quick/quicker
-: slow/slower, sluggish, laggy/laggier, unresponsive, erratic
v+: ~react* instantly*; ~take/took barely a second*; ~handle* large files with ease*
v-: ~freeze/froze* twice a day; ~take/took ages*; ~lag* behind my fingers
@ headphone,speaker speed seem own
n: bluetooth connection, pairing process, startup time
+: fast/faster, instant, quick/quicker, smooth/smoother
-: slow/slower, sluggish, erratic, unpredictable
v+: ~take/took two seconds*; !~work* on the first try
v-: ~take/took forever*; ~fail* every second time
@ electronics size - bare
n: @item
+: light/lighter, compact, portable, small/smaller, thin/thinner@computer
-: heavy/heavier, bulky/bulkier, clunky/clunkier, cumbersome
v+: !~fit* in my coat pocket; ~weigh* next to nothing
v-: ~take/took* up half my bag; ~weigh a ton*
t: big/bigger, heavy
@ blender,brewer sound - own bare
n: motor@blender, grinder@brewer, pump@brewer, timer
+: quiet/quieter, !silent, discreet
-: loud/louder, noisy/noisier, shrill, !deafening
v+: ~hum* softly* in the background; ~let/let* the family sleep*
v-: ~wake/woke* the whole house; ~scream* like a jet
t: loud
@ brewer taste taste
n: coffee/m, espresso/m, cappuccino, milk foam/m
+: smooth/smoother, rich/richer, strong/stronger, aromatic, fresh/fresher, !delicious
-: bitter, weak/weaker, watery, burnt, sour, lukewarm, bland/blander
v+: ~come/came out hot* and fresh*; ~beat/beat* any coffee shop in town
v-: ~leave/left a metallic* aftertaste; ~go/went* down the sink
t: strong, thin/thinner
@ cooker taste taste
n: fries/p, roast potatoes/p, frozen pizza/m, chicken wings/p, toast/m
+: crispy/crispier, golden, juicy/juicier, tender, !delicious
-: soggy/soggier, dry/drier, burnt, rubbery, limp, greasy/greasier
v+: ~come/came out golden* and crisp*; ~disappear* within minutes at every party
v-: ~come/came out half raw*; ~stick/stuck* to the tray
t: dry, dark/darker
@ blender taste taste
n: smoothies/p, soup, hummus/m, almond butter/m, carrot juice/m
+: smooth/smoother, creamy/creamier, silky/silkier, fresh/fresher, !delicious
-: lumpy/lumpier, gritty/grittier, watery, stringy/stringier, bitter
v+: ~come/came out smooth* every time; ~delight* even picky children
v-: ~come/came out full of lumps*; ~end* up in the trash
t: thick/thicker, thin/thinner
@ pan taste taste
n: eggs/p, pancakes/p, steaks/p, stir-fried vegetables/p, omelets/p
+: tender, golden, juicy/juicier, light/lighter, !delicious
-: burnt, rubbery, greasy/greasier, dry/drier, soggy/soggier
v+: !~slide/slid* right off; ~brown* evenly*
v-: ~burn* in the middle; ~stick/stuck* to the bottom
@ kitchen speed seem bare
n: @item
+: fast/faster, quick/quicker, efficient
-: slow/slower, sluggish, inefficient
v+: ~heat* up in under a minute@brewer|cooker|pan; ~crush* ice in seconds@blender; ~save* me half an hour a
    day
v-: ~take/took forever* to warm up@brewer|cooker|pan; ~take/took ages* over a single carrot@blender; ~stall*
    halfway@blender
@ kitchen quality feel own
n: handle, lid, base@brewer|blender|cooker, coating@pan, blade@blender, door hinge@cooker, steam nozzle@brewer
+: sturdy/sturdier, solid, durable, robust, strong/stronger, well made
-: flimsy/flimsier, wobbly/wobblier, loose/looser, cheap/cheaper, brittle, poorly made
v+: ~hold/held* up after years of daily cooking; ~survive* every dinner party
v-: ~crack* after two washes; ~come/came* off in my hand; ~warp* over high heat@pan
@ kitchen cleanliness seem bare
n: @item, drip tray@brewer, milk frother@brewer, basket@cooker, jug@blender, blade assembly@blender, rim@pan
+: easy to clean/easier to clean, easy to rinse/easier to rinse, !spotless
-: hard to clean/harder to clean, greasy/greasier, sticky/stickier, messy/messier, grimy/grimier
v+: !~wipe clean* in seconds; ~come/came out of the dishwasher like new*
v-: ~trap* old crumbs@cooker|pan|blender; ~collect* mold@brewer|blender; ~smell/smelled of stale*
    fat@cooker|pan
@ kitchen appearance look own
n: finish, design, color, chrome trim
+: elegant, sleek/sleeker, stylish, shiny/shinier, handsome
-: ugly/uglier, dull/duller, tacky/tackier, dated, scratched
v+: ~brighten* up the counter; ~suit* our retro kitchen
v-: ~clash* with everything else; ~fade* near the stove
@ kitchen size seem own
n: capacity, water tank@brewer, jug@blender, basket@cooker, cooking surface@pan
+: generous, large/larger, roomy/roomier, big/bigger
-: small/smaller, !tiny, stingy/stingier, limited
v+: !~hold/held* enough for a family of five; ~cover* a whole dinner party
v-: ~run/ran* out after two portions; ~force* me to work in batches
t: small, shallow/shallower@pan|cooker
@ kitchen size - bare
n: @item
+: compact, light/lighter, handy/handier
-: bulky/bulkier, heavy/heavier, clunky/clunkier, cumbersome
v+: !~fit* on a narrow shelf; ~disappear* neatly* into a cupboard
v-: ~take/took* up the whole counter; ~block* the power outlet
t: big/bigger, tall/taller, heavy
@ brewer,blender,pan comfort feel own
n: grip, handle
+: comfortable, soft/softer, light/lighter, smooth/smoother, ergonomic
-: slippery, awkward, rough/rougher, hot/hotter, uncomfortable
v+: !~stay cool*; ~sit/sat* well in the hand
v-: ~burn* my fingers; ~slip* when wet; ~strain* my wrist
@ top,bottom comfort feel own
n: fabric, lining, material, waistband@bottom, collar@top, inner pocket
+: soft/softer, cozy/cozier, breathable, light/lighter, warm/warmer, smooth/smoother
-: itchy/itchier, scratchy/scratchier, stiff/stiffer, clingy/clingier, rough/rougher, sweaty/sweatier
v+: !~keep/kept me warm* on windy days; ~feel/felt like a second skin*
v-: ~rub* under the arms@top; ~dig/dug* into my hips@bottom; ~irritate* bare skin
t: warm, thick/thicker, stiff
@ shoe comfort feel own
n: insoles/p, soles/p, heels/p, ankle padding/m
+: soft/softer, cushioned, springy/springier, flexible, supportive, comfortable
-: hard/harder, stiff/stiffer, painful, rigid, slippery, uncomfortable
v+: ~support* my arches; ~carry* me through long walks; ~absorb* every step
v-: ~pinch* my toes; ~give/gave me blisters*; ~squeak* on every floor
t: hard, flat/flatter
@ clothing appearance look own
n: color, cut, embroidery/m@top, pattern@top, silhouette@bottom|shoe, print@top
+: flattering, elegant, stylish, vivid, classic, chic, !gorgeous
-: ugly/uglier, dull/duller, faded, loud/louder, garish, frumpy/frumpier, shapeless
v+: ~flatter* every figure; ~go/went* with everything; ~earn me compliments* at work
v-: ~fade* after one wash; ~bear/bore no resemblance* to the photos; ~age* me ten years
t: bright/brighter, plain/plainer, bold/bolder
@ clothing quality seem own
n: stitching/m, zipper@top|bottom, seams/p, buttons/p@top, laces/p@shoe, belt loops/p@bottom, eyelets/p@shoe
+: sturdy/sturdier, strong/stronger, neat/neater, durable, tough/tougher, solid
-: loose/looser, flimsy/flimsier, thin/thinner, crooked, weak/weaker, cheap/cheaper
v+: ~survive* dozens of washes@top|bottom; ~hold/held* up in heavy rain; ~last* for years
v-: ~unravel*@top|bottom; ~fall/fell apart* after a week; ~snap* on the second day@shoe; ~come/came undone*
    all the time
@ clothing size feel own
n: sleeves/p@top, shoulders/p@top, hood@top, pant legs/p@bottom, waist@bottom, toe box@shoe, ankle
    opening@shoe
+: roomy/roomier, generous, !perfect, well proportioned
-: tight/tighter, short/shorter@top|bottom, baggy/baggier@top|bottom, narrow/narrower, cramped@shoe
v+: !~fit* like a glove*; ~leave/left room* for thick socks@shoe; ~leave/left room* for a sweater
    underneath@top
v-: ~need* altering by a tailor@top|bottom; ~squeeze* me in all the wrong places
t: tight, long/longer@top|bottom, wide/wider
@ clothing cleanliness seem bare
n: @item
+: easy to wash/easier to wash, stain-resistant, wrinkle-free
-: hard to wash/harder to wash, smelly/smellier, dusty/dustier
v+: ~come/came out of the wash like new*@top|bottom; ~repel* mud; !~resist* stains
v-: ~show* every stain*; ~smell/smelled* of chemicals; ~attract* lint@top|bottom
@ electronics,kitchen,clothing price seem
n: price, price tag, asking price, sale price
+: fair/fairer, reasonable, low/lower, honest, modest, competitive
-: high/higher, steep/steeper, !outrageous, excessive, inflated, unreasonable
v+: !~match* the quality; ~suit* a student budget; ~beat/beat* every other store
v-: ~make/made my eyes water*; ~go/went* up by the week
t: high
@ electronics,kitchen,clothing price - bare
n: @item
+: cheap/cheaper, affordable, inexpensive, worth the money
-: expensive, overpriced, pricey/pricier, costly/costlier
v+: ~cost/cost* less than a night out; ~give/gave* me a lot for the money
v-: ~cost/cost* far too much; ~eat/ate* up a week of wages
t: expensive
@ electronics,kitchen,clothing service seem past
n: customer service/m, help desk, seller, support team, repair center
+: helpful, polite, patient, friendly/friendlier, courteous, generous
-: rude/ruder, unhelpful, dismissive, clueless, arrogant, stubborn
v+: ~answer* within the hour; ~replace* everything without any fuss*; ~call* me back in person
v-: ~ignore* my emails; ~blame* me for the fault; ~refuse* to send a refund
@ electronics,kitchen,clothing speed seem past bare
n: delivery, shipping/m, courier, return process
+: fast/faster, quick/quicker, prompt, swift/swifter
-: slow/slower, late/later, sluggish, chaotic
v+: ~take/took only a day*; ~beat/beat* the promised date
v-: ~take/took three long* weeks; ~miss* the promised date twice
"""
