/* Walks the lists of CPython's garbage collector and counts what is in them, without touching a reference count.
 *
 * Whoever takes a reference writes into the object, and in a forked worker each page that is written is copied. Here
 * objects are only read: their class, their length, the addresses that they refer to. The few words that are written
 * are the links of two objects of our own, which mark the place in a list between two slices.
 *
 * The rules that everything below keeps:
 *   - Within a slice nothing is allocated by Python: up to 3.11 any allocation may start a collection.
 *   - No address is followed that was noted in an earlier slice: the object may be gone. Names are copied at once.
 *   - No object of the program is kept as a bookmark: a tuple in the making must have one owner.
 *   - Each link is compared with its neighbour's before it is followed; what does not fit ends the walk.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef Py_GIL_DISABLED
#error "memprof_native needs the collector's lists, which the free-threaded build does not have"
#endif
#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030F0000
#error "memprof_native knows the collector of CPython 3.11 to 3.14"
#endif

/* ---- The collector's state, as it lies in memory from its first list on (CPython 3.11 to 3.13, and 3.14 from 3.14.5).
 *
 * The headers that declare it are internal, and a wheel is built against one micro version of them. So the layout is
 * written down here, found at run time, and compared with what the module gc says (see check()) before it is used.
 */
typedef struct { uintptr_t next, prev; } Link; /* before each tracked object; the lowest bits of prev are flags */
typedef struct { Link head; int threshold, count; } Generation;
typedef struct { Py_ssize_t collections, collected, uncollectable; } Statistics;
typedef struct {
    Generation generations[3]; /* youngest first */
#if MEMPROF_NATIVE_SHIFT == 1 /* for the test that a layout which is off by one word is refused */
    uintptr_t shift;
#endif
#if PY_VERSION_HEX < 0x030E0000
    Link *youngest;
#endif
    Generation frozen;
#if MEMPROF_NATIVE_SHIFT == 2
    uintptr_t shift;
#endif
    Statistics statistics[3];
#if MEMPROF_NATIVE_SHIFT == 3
    uintptr_t shift;
#endif
    int collecting;
    PyObject *garbage, *callbacks;
#if PY_VERSION_HEX >= 0x030E0000
    Py_ssize_t tracked, unused;
    int unused_too[2];
    Py_ssize_t survived_full, survived_others;
    Link *youngest;
#endif
} Collector;

#define FLAGS ((uintptr_t)3)
#define LINK(object) ((Link *)(object) - 1)
#define OBJECT(link) ((PyObject *)((link) + 1))

static inline Link *next_of(const Link *link) { return (Link *)link->next; }
static inline Link *prev_of(const Link *link) { return (Link *)(link->prev & ~FLAGS); }

static void unlink_own(PyObject *own)
{
    Link *link = LINK(own);
    if (link->next == 0)
        return;
    prev_of(link)->next = link->next;
    next_of(link)->prev = (uintptr_t)prev_of(link) | (next_of(link)->prev & FLAGS);
    link->next = 0;
    link->prev &= FLAGS & 1; /* as PyObject_GC_UnTrack leaves it */
}

static void link_own(PyObject *own, Link *previous, Link *next)
{
    Link *link = LINK(own);
    link->next = (uintptr_t)next;
    link->prev = (uintptr_t)previous | (link->prev & FLAGS);
    previous->next = (uintptr_t)link;
    next->prev = (uintptr_t)link | (next->prev & FLAGS);
}

/* ---- What is counted: classes by address, with names that were copied when the class was met first. */

enum { PLAIN, DICT, LIST, SET, DEQUE }; /* how the length of an instance is read */

typedef struct { Py_ssize_t at, size; } Text; /* within the walk's own text */

typedef struct {
    PyTypeObject *type;
    Py_ssize_t live, frozen;
    Text name; /* module.QualName, with ? for a part that is no plain text */
    uint8_t shape;
} Class;

typedef struct {
    Class *rows;
    size_t used, room;
    uint32_t *index; /* open addressing; 0 is empty, else a row's number and 1 */
    size_t slots;
    char *text;
    size_t text_used, text_room;
} Classes;

typedef struct { uintptr_t object, type, length; } Container;

typedef struct {
    Container *slots; /* open addressing by address */
    size_t used, room, most;
    uintptr_t minimum; /* shorter ones are left out; 0: no lengths at all. Rises when there are too many */
} Containers;

typedef struct { uintptr_t referrer, target; uint32_t row; } Reference;

typedef struct {
    uintptr_t *targets; /* sorted */
    size_t target_count;
    uint64_t filter; /* a bit for each target: most addresses are none of them */
    Reference *found;
    size_t used, room, most;
} References;

/* ---- The walk. */

enum { FROZEN, OLDEST, MIDDLE, YOUNGEST, DONE };
/* The two younger lists are short and taken with the last slice, unless the collector is off. */
#define YOUNG_AT_ONCE 100000
#define NAME_LENGTH 256
#define MOST_ROWS (UINT32_MAX - 1)
#define RECENT 256 /* a power of two */
#define PLACES 1024 /* a power of two */

typedef struct Walk Walk;

typedef struct {
    PyTypeObject *cursor_type, *walk_type, *deque_type;
    Walk *open; /* walks that have begun: a forked child lets them go */
    uintptr_t places[PLACES]; /* where slices have ended: links, by their address; followed by nobody */
} State;

typedef struct {
    Py_ssize_t left; /* objects at most in this slice */
    Py_ssize_t soon; /* from so many left on, a place where a slice has ended before is as good an end */
    int64_t until;   /* of this thread's processor time; 0: no limit */
    int64_t nearly;  /* from then on such a place is as good, too */
} Pace;

struct Walk {
    PyObject_HEAD
    State *state;
    Walk *next_open, *prev_open;
    pid_t pid;
    Collector *collector;
    PyObject *cursor; /* behind the last object that was counted */
    PyObject *mark;   /* first of the list that the cursor is in, as long as nobody turns the list over */
    int phase, deep, restarts, closed, begun;
    Py_ssize_t collections[3];
    uintptr_t frozen_last;
    Classes classes;
    size_t next_row;
    Containers containers;
    References references;
    /* The rows of the classes met last: a dozen of classes have nine tenths of all objects. */
    struct { PyTypeObject *type; size_t row; } recent[RECENT];
};

static const char *NO_MEMORY = "no memory";

static size_t slot_of(uintptr_t address, size_t slots)
{
    return (size_t)(((uint64_t)(address >> 4) * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (slots - 1);
}

static int grow(void **rows, size_t *room, size_t size)
{
    size_t more = *room ? *room * 2 : 64;
    void *moved = realloc(*rows, more * size);
    if (moved == NULL)
        return -1;
    *rows = moved;
    *room = more;
    return 0;
}

/* -- names */

static int put(Classes *classes, const char *bytes, size_t size)
{
    while (classes->text_used + size > classes->text_room)
        if (grow((void **)&classes->text, &classes->text_room, 1) < 0)
            return -1;
    memcpy(classes->text + classes->text_used, bytes, size);
    classes->text_used += size;
    return 0;
}

static int put_character(Classes *classes, Py_UCS4 c)
{
    char bytes[4] = {(char)c};
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    if (size > 1) {
        bytes[0] = (char)(first[size] | c >> (6 * (size - 1)));
        for (size_t i = 1; i < size; i++)
            bytes[i] = (char)(0x80 | (c >> (6 * (size - 1 - i)) & 0x3F));
    }
    return put(classes, bytes, size);
}

/* In UTF-8, lone surrogates as they are; a very long text is cut. */
static int put_text(Classes *classes, PyObject *text)
{
    if (text == NULL || !PyUnicode_CheckExact(text))
        return put(classes, "?", 1);
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(text))
        return put(classes, "?", 1);
#endif
    Py_ssize_t length = Py_MIN(PyUnicode_GET_LENGTH(text), NAME_LENGTH);
    int kind = PyUnicode_KIND(text);
    const void *data = PyUnicode_DATA(text);
    for (Py_ssize_t i = 0; i < length; i++)
        if (put_character(classes, PyUnicode_READ(kind, data, i)) < 0)
            return -1;
    return 0;
}

/* The value of __module__ in a class's own namespace, borrowed. Keys are compared here: a look-up could run the
 * equality of a key that the program made. */
static PyObject *module_of(PyTypeObject *type)
{
    static const char wanted[] = "__module__";
    PyObject *key, *value;
    Py_ssize_t position = 0;
    if (type->tp_dict == NULL)
        return NULL;
    while (PyDict_Next(type->tp_dict, &position, &key, &value))
        if (PyUnicode_CheckExact(key) && PyUnicode_IS_COMPACT_ASCII(key)
            && PyUnicode_GET_LENGTH(key) == sizeof(wanted) - 1
            && memcmp(PyUnicode_DATA(key), wanted, sizeof(wanted) - 1) == 0)
            return value;
    return NULL;
}

static int put_names(Classes *classes, PyTypeObject *type)
{
    if (PyType_HasFeature(type, Py_TPFLAGS_HEAPTYPE))
        return put_text(classes, module_of(type)) < 0 || put(classes, ".", 1) < 0
                || put_text(classes, ((PyHeapTypeObject *)type)->ht_qualname) < 0 ? -1 : 0;
    const char *name = type->tp_name;
    if (strrchr(name, '.') == NULL && put(classes, "builtins.", 9) < 0)
        return -1;
    return put(classes, name, Py_MIN(strlen(name), NAME_LENGTH));
}

static int copy_name(Classes *classes, Class *class)
{
    class->name.at = (Py_ssize_t)classes->text_used;
    if (put_names(classes, class->type) < 0)
        return -1;
    class->name.size = (Py_ssize_t)classes->text_used - class->name.at;
    return 0;
}

/* -- classes */

static uint8_t shape_of(State *state, PyTypeObject *type)
{
    if (PyType_FastSubclass(type, Py_TPFLAGS_DICT_SUBCLASS))
        return DICT;
    if (PyType_FastSubclass(type, Py_TPFLAGS_LIST_SUBCLASS))
        return LIST;
    if (PyType_IsSubtype(type, &PySet_Type))
        return SET;
    return PyType_IsSubtype(type, state->deque_type) ? DEQUE : PLAIN;
}

static int index_classes(Classes *classes, size_t slots)
{
    uint32_t *index = calloc(slots, sizeof(*index));
    if (index == NULL)
        return -1;
    for (size_t row = 0; row < classes->used; row++) {
        size_t at = slot_of((uintptr_t)classes->rows[row].type, slots);
        while (index[at])
            at = (at + 1) & (slots - 1);
        index[at] = (uint32_t)row + 1;
    }
    free(classes->index);
    classes->index = index;
    classes->slots = slots;
    return 0;
}

/* The row of a class; -1: no memory.
 *
 * No other class can have its address within one walk: a class is in cycles, so only a collection frees it, and after
 * one that could the walk begins again.
 */
static Py_ssize_t row_of(Walk *walk, PyTypeObject *type)
{
    Classes *classes = &walk->classes;
    if (2 * (classes->used + 1) > classes->slots
        && index_classes(classes, classes->slots ? 2 * classes->slots : 1024) < 0)
        return -1;
    size_t at = slot_of((uintptr_t)type, classes->slots);
    while (classes->index[at]) {
        if (classes->rows[classes->index[at] - 1].type == type)
            return (Py_ssize_t)classes->index[at] - 1;
        at = (at + 1) & (classes->slots - 1);
    }
    if (classes->used >= MOST_ROWS
        || (classes->used == classes->room && grow((void **)&classes->rows, &classes->room, sizeof(Class)) < 0))
        return -1;
    Class *class = &classes->rows[classes->used];
    *class = (Class){.type = type, .shape = shape_of(walk->state, type)};
    if (copy_name(classes, class) < 0)
        return -1;
    classes->index[at] = (uint32_t)++classes->used;
    return (Py_ssize_t)(classes->used - 1);
}

/* -- containers */

static Container *container_slot(Container *slots, size_t room, uintptr_t object)
{
    size_t at = slot_of(object, room);
    while (slots[at].object && slots[at].object != object)
        at = (at + 1) & (room - 1);
    return &slots[at];
}

/* More room; where there may be no more, the shorter half of what is there goes. */
static int make_room(Containers *containers)
{
    size_t room = containers->room ? 2 * containers->room : 1024;
    if (containers->used >= containers->most) {
        room = containers->room;
        containers->minimum *= 2;
    }
    Container *slots = calloc(room, sizeof(*slots));
    if (slots == NULL)
        return -1;
    containers->used = 0;
    for (size_t i = 0; i < containers->room; i++)
        if (containers->slots[i].object && containers->slots[i].length >= containers->minimum) {
            *container_slot(slots, room, containers->slots[i].object) = containers->slots[i];
            containers->used++;
        }
    free(containers->slots);
    containers->slots = slots;
    containers->room = room;
    return 0;
}

static int note_length(Containers *containers, PyObject *object, Py_ssize_t length)
{
    if ((uintptr_t)length < containers->minimum)
        return 0;
    while (2 * (containers->used + 1) > containers->room || containers->used >= containers->most)
        if (make_room(containers) < 0)
            return -1;
    if ((uintptr_t)length < containers->minimum)
        return 0;
    Container *slot = container_slot(containers->slots, containers->room, (uintptr_t)object);
    containers->used += slot->object == 0;
    *slot = (Container){(uintptr_t)object, (uintptr_t)Py_TYPE(object), (uintptr_t)length};
    return 0;
}

static Py_ssize_t length_of(PyObject *object, uint8_t shape)
{
    if (shape == DICT)
        return ((PyDictObject *)object)->ma_used;
    return shape == SET ? ((PySetObject *)object)->used : Py_SIZE(object);
}

#define BYTES 1024 /* of a bytearray count as one entry */
/* Entries of one object that are looked through for untracked containers. A list of millions cannot be left half way
 * and gone on with later, and other threads wait for as long: here a millisecond. A list begins with its end. */
#define MOST_BELOW 100000
#define ENOUGH 1 /* for a visitor: leave the object */

typedef struct { Walk *walk; size_t left; } Below;

/* Containers that the collector does not track, found as what a tracked object refers to. */
static int visit_untracked(PyObject *child, void *argument)
{
    Below *below = argument;
    Containers *containers = &below->walk->containers;
    if (below->left-- == 0)
        return ENOUGH;
    if (PyDict_CheckExact(child))
        return PyObject_GC_IsTracked(child) ? 0 : note_length(containers, child, ((PyDictObject *)child)->ma_used);
    /* It has bytes and no entries; by each byte it would take the place of thousands of containers. */
    return PyByteArray_CheckExact(child) ? note_length(containers, child, Py_SIZE(child) / BYTES) : 0;
}

/* -- referrers */

typedef struct { Walk *walk; PyObject *referrer; size_t row, first; } Visit;

static int by_address(const void *one, const void *other)
{
    uintptr_t a = *(const uintptr_t *)one, b = *(const uintptr_t *)other;
    return (a > b) - (a < b);
}

static uint64_t bit_of(uintptr_t address) { return UINT64_C(1) << (address >> 4 & 63); }

/* Compares addresses and follows none: CPython 3.12.1 visits freed objects for some modules. */
static int visit_target(PyObject *child, void *argument)
{
    Visit *visit = argument;
    References *references = &visit->walk->references;
    uintptr_t address = (uintptr_t)child;
    if (!(references->filter & bit_of(address))
        || bsearch(&address, references->targets, references->target_count, sizeof(address), by_address) == NULL)
        return 0;
    for (size_t i = visit->first; i < references->used; i++)
        if (references->found[i].target == address)
            return 0; /* refers to it twice */
    if (references->used >= references->most)
        return 0;
    if (references->used == references->room
        && grow((void **)&references->found, &references->room, sizeof(Reference)) < 0)
        return -1;
    references->found[references->used++] =
        (Reference){(uintptr_t)visit->referrer, address, (uint32_t)visit->row};
    return 0;
}

/* -- one object, one stretch of a list */

static int look_below(Walk *walk, PyObject *object, size_t row)
{
    traverseproc traverse = Py_TYPE(object)->tp_traverse;
    if (traverse == NULL)
        return 0;
    /* What modules refer to may have been freed (3.12.1), so it is not looked at; their dict is tracked itself. */
    Below below = {walk, MOST_BELOW};
    if (walk->deep && !PyModule_Check(object) && traverse(object, visit_untracked, &below) < 0)
        return -1;
    Visit visit = {walk, object, row, walk->references.used};
    return walk->references.target_count && traverse(object, visit_target, &visit) < 0 ? -1 : 0;
}

static int count_one(Walk *walk, PyObject *object, int frozen)
{
    PyTypeObject *type = Py_TYPE(object);
    size_t at = ((uintptr_t)type >> 4 ^ (uintptr_t)type >> 10) & (RECENT - 1);
    if (type != walk->recent[at].type) {
        if (type == walk->state->cursor_type)
            return 0;
        Py_ssize_t row = row_of(walk, type);
        if (row < 0)
            return -1;
        walk->recent[at].type = type;
        walk->recent[at].row = (size_t)row;
    }
    Class *class = &walk->classes.rows[walk->recent[at].row];
    *(frozen ? &class->frozen : &class->live) += 1;
    /* Asked in this order, since the processor foresees the first answer and not the second. */
    if (walk->containers.minimum && class->shape != PLAIN
        && note_length(&walk->containers, object, length_of(object, class->shape)) < 0)
        return -1;
    return walk->deep || walk->references.target_count ? look_below(walk, object, walk->recent[at].row) : 0;
}

static inline int is_head(const Collector *collector, const Link *link)
{
    return (uintptr_t)link - (uintptr_t)collector < sizeof(Collector);
}

static inline int fits(const Link *link, const Link *previous)
{
    return link != NULL && ((uintptr_t)link & 7) == 0 && prev_of(link) == previous;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The cursor writes into both of its neighbours, and in a forked process that copies their pages. So slices end where
 * they ended before, as far as that object is still there: a hundred censuses copy no more than the first. */
static inline uintptr_t *place_of(Walk *walk, const Link *link)
{
    return &walk->state->places[slot_of((uintptr_t)link, PLACES)];
}

static int is_late(Pace *pace)
{
    int64_t now = nanoseconds();
    if (now > pace->nearly)
        pace->soon = pace->left;
    return now > pace->until;
}

/* Count from a place in a list on. 1: a list's end was reached, 0: enough for now, -1: failed, with the reason. */
static int count_some(Walk *walk, Link **previous, Link **link, Pace *pace, const char **reason)
{
    /* The clock is read after so many objects. */
    Py_ssize_t often = walk->deep || walk->references.target_count ? 63 : 1023;
    int frozen = walk->phase == FROZEN;
    *reason = NULL;
    for (;;) {
        if (!fits(*link, *previous)) {
            *reason = "two neighbours in a list of the collector do not know each other";
            return -1;
        }
        if (is_head(walk->collector, *link))
            return 1;
        if (pace->left <= 0 || (pace->until && (pace->left & often) == 0 && is_late(pace))
            || (pace->left <= pace->soon && *place_of(walk, *link) == (uintptr_t)*link))
            return 0;
        pace->left--;
        if (count_one(walk, OBJECT(*link), frozen) < 0) {
            *reason = NO_MEMORY;
            return -1;
        }
        *previous = *link;
        *link = next_of(*link);
    }
}

static Link *head_of(Collector *collector, int phase)
{
    return phase == FROZEN ? &collector->frozen.head : &collector->generations[3 - phase].head;
}

static void forget_counts(Walk *walk)
{
    walk->classes.used = walk->classes.text_used = 0;
    if (walk->classes.index)
        memset(walk->classes.index, 0, walk->classes.slots * sizeof(uint32_t));
    walk->containers.used = 0;
    if (walk->containers.slots)
        memset(walk->containers.slots, 0, walk->containers.room * sizeof(Container));
    walk->references.used = 0;
    memset(walk->recent, 0, sizeof(walk->recent));
}

/* Put mark and cursor in front of a list, and note how the collector stands. */
static void enter(Walk *walk, int phase)
{
    Collector *collector = walk->collector;
    Link *head = head_of(collector, phase);
    walk->phase = phase;
    unlink_own(walk->cursor);
    unlink_own(walk->mark);
    link_own(walk->mark, head, next_of(head));
    link_own(walk->cursor, LINK(walk->mark), next_of(LINK(walk->mark)));
    for (int i = 0; i < 3; i++)
        walk->collections[i] = collector->statistics[i].collections;
    walk->frozen_last = collector->frozen.head.prev & ~FLAGS;
}

static void begin(Walk *walk)
{
    forget_counts(walk);
    enter(walk, FROZEN);
}

/* Whether the list is still in the order in which it was, so that nothing counted lies ahead and nothing else behind.
 *
 * A collection that is under way may have a list open; one that ended may have turned it. gc.freeze() appends to the
 * list of the frozen, gc.unfreeze() empties it; one after the other puts younger objects in front of our mark.
 */
static int is_undisturbed(const Walk *walk)
{
    Collector *collector = walk->collector;
    if (next_of(head_of(collector, walk->phase)) != LINK(walk->mark))
        return 0;
    if (walk->phase == FROZEN)
        return 1;
    if (collector->collecting || (collector->frozen.head.prev & ~FLAGS) != walk->frozen_last)
        return 0;
    for (int i = walk->phase == OLDEST ? 2 : 0; i < 3; i++)
        if (collector->statistics[i].collections != walk->collections[i])
            return 0;
    return 1;
}

static void give_back(Walk *walk)
{
    unlink_own(walk->cursor);
    unlink_own(walk->mark);
}

static int finish_in_one_go(Walk *walk, const char **reason)
{
    give_back(walk);
    forget_counts(walk);
    for (walk->phase = FROZEN; walk->phase != DONE; walk->phase++) {
        Link *head = head_of(walk->collector, walk->phase), *previous = head, *link = next_of(head);
        Pace pace = {.left = PY_SSIZE_T_MAX};
        if (count_some(walk, &previous, &link, &pace, reason) < 0)
            return -1;
        if (link != head) {
            *reason = "a list of the collector ends in another";
            return -1;
        }
    }
    return 1;
}

static Pace pace_of(Py_ssize_t objects, double seconds)
{
    Pace pace = {.left = objects, .soon = objects / 2};
    if (seconds > 0 && seconds < 1e6) {
        int64_t now = nanoseconds();
        pace.nearly = now + (int64_t)(seconds * 0.5e9);
        pace.until = now + (int64_t)(seconds * 1e9);
    }
    return pace;
}

/* One slice. 1: all is counted, 0: there is more, -1: failed, with the reason. */
static int count_slice(Walk *walk, Py_ssize_t objects, double seconds, const char **reason)
{
    if (!walk->begun) {
        walk->begun = 1;
        begin(walk);
    } else if (!is_undisturbed(walk)) {
        walk->restarts++;
        begin(walk);
    }
    if (objects <= 0 || walk->restarts > 1)
        return finish_in_one_go(walk, reason);
    for (Pace pace = pace_of(objects, seconds);;) {
        Link *previous = prev_of(LINK(walk->cursor)), *link = next_of(LINK(walk->cursor));
        unlink_own(walk->cursor);
        int ended = count_some(walk, &previous, &link, &pace, reason);
        if (ended < 0)
            return -1;
        link_own(walk->cursor, previous, link);
        if (!ended) {
            *place_of(walk, link) = (uintptr_t)link;
            return 0;
        }
        if (link != head_of(walk->collector, walk->phase)) {
            walk->restarts++; /* a freeze or an unfreeze has carried the cursor into another list */
            begin(walk);
            return walk->restarts > 1 ? finish_in_one_go(walk, reason) : 0;
        }
        if (walk->phase == YOUNGEST) {
            give_back(walk);
            walk->phase = DONE;
            return 1;
        }
        enter(walk, walk->phase + 1);
        if (walk->collector->collecting)
            return finish_in_one_go(walk, reason); /* a finalizer waits inside a collection: no order to rely on */
        if (walk->phase == MIDDLE)
            pace = (Pace){.left = Py_MAX(pace.left, YOUNG_AT_ONCE)};
    }
}

/* ---- The cursor: an object of ours that the collector tracks; it refers to nothing. */

static int cursor_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void cursor_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot cursor_slots[] = {
    {Py_tp_doc, "A place in a list of the collector."},
    {Py_tp_dealloc, cursor_dealloc},
    {Py_tp_traverse, cursor_traverse},
    {0, NULL},
};

static PyType_Spec cursor_spec = {
    .name = "memprof_native.Cursor",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cursor_slots,
};

/* The head of the youngest list of this interpreter: what is tracked goes to the end, right before the head. */
static Link *find_head(PyObject *own)
{
    PyObject_GC_Track(own);
    Link *head = next_of(LINK(own));
    PyObject_GC_UnTrack(own);
    return head;
}

/* ---- The type Walk. */

static void close_walk(Walk *walk)
{
    if (walk->closed)
        return;
    walk->closed = 1;
    if (walk->prev_open)
        walk->prev_open->next_open = walk->next_open;
    else if (walk->state->open == walk)
        walk->state->open = walk->next_open;
    if (walk->next_open)
        walk->next_open->prev_open = walk->prev_open;
    if (walk->cursor && walk->mark)
        give_back(walk);
    Py_CLEAR(walk->cursor);
    Py_CLEAR(walk->mark);
    free(walk->classes.rows);
    free(walk->classes.index);
    free(walk->classes.text);
    free(walk->containers.slots);
    free(walk->references.targets);
    free(walk->references.found);
    memset(&walk->classes, 0, sizeof(Classes));
    memset(&walk->containers, 0, sizeof(Containers));
    memset(&walk->references, 0, sizeof(References));
}

static int take_targets(References *references, PyObject *given)
{
    PyObject *targets = PySequence_Fast(given, "targets must be a sequence of addresses");
    if (targets == NULL)
        return -1;
    size_t count = (size_t)PySequence_Fast_GET_SIZE(targets);
    references->targets = count ? malloc(count * sizeof(uintptr_t)) : NULL;
    if (count && references->targets == NULL) {
        Py_DECREF(targets);
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        void *address = PyLong_AsVoidPtr(PySequence_Fast_GET_ITEM(targets, (Py_ssize_t)i));
        if (address == NULL && PyErr_Occurred()) {
            Py_DECREF(targets);
            return -1;
        }
        references->targets[i] = (uintptr_t)address;
        references->filter |= bit_of((uintptr_t)address);
    }
    Py_DECREF(targets);
    qsort(references->targets, count, sizeof(uintptr_t), by_address);
    references->target_count = count;
    return 0;
}

static PyObject *walk_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"minimum", "deep", "targets", "most", NULL};
    Py_ssize_t minimum = 0, most = 50000;
    int deep = 0;
    PyObject *targets = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$npOn:Walk", names, &minimum, &deep, &targets, &most))
        return NULL;
    if (minimum < 0 || most < 1 || (deep && minimum == 0)) {
        PyErr_Format(PyExc_ValueError,
                     "minimum=%zd, most=%zd: minimum must not be negative, and at least 1 with deep; most at least 1",
                     minimum, most);
        return NULL;
    }
    State *state = PyType_GetModuleState(type);
    Walk *walk = (Walk *)type->tp_alloc(type, 0);
    if (walk == NULL)
        return NULL;
    walk->state = state;
    walk->closed = 1;
    walk->pid = getpid();
    walk->deep = deep;
    walk->containers.minimum = (uintptr_t)minimum;
    walk->containers.most = walk->references.most = (size_t)most;
    walk->next_open = state->open;
    if (state->open)
        state->open->prev_open = walk;
    state->open = walk;
    walk->closed = 0;
    if ((targets && take_targets(&walk->references, targets) < 0)
        || (walk->cursor = (PyObject *)PyObject_GC_New(PyObject, state->cursor_type)) == NULL
        || (walk->mark = (PyObject *)PyObject_GC_New(PyObject, state->cursor_type)) == NULL) {
        Py_DECREF(walk);
        return NULL;
    }
    walk->collector = (Collector *)find_head(walk->cursor);
    return (PyObject *)walk;
}

static void walk_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    close_walk((Walk *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

static int is_usable(const Walk *walk)
{
    if (walk->closed)
        PyErr_SetString(PyExc_RuntimeError, "this walk was given up: make a new one");
    else if (walk->pid != getpid())
        PyErr_SetString(PyExc_RuntimeError, "this walk was begun in another process, before a fork: make a new one");
    return !PyErr_Occurred();
}

static PyObject *walk_step(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"objects", "seconds", NULL};
    Walk *walk = (Walk *)self;
    Py_ssize_t objects = 0;
    double seconds = 0;
    const char *reason = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|nd:step", names, &objects, &seconds) || !is_usable(walk))
        return NULL;
    if (walk->phase == DONE)
        Py_RETURN_TRUE;
    int done = count_slice(walk, objects, seconds, &reason);
    if (done >= 0)
        return PyBool_FromLong(done);
    if (reason == NO_MEMORY)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_RuntimeError, reason);
    return NULL;
}

static PyObject *walk_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    close_walk((Walk *)self);
    Py_RETURN_NONE;
}

static int is_done(const Walk *walk)
{
    if (is_usable(walk) && walk->phase != DONE)
        PyErr_SetString(PyExc_RuntimeError, "the walk is not at its end: call step() until it returns True");
    return !PyErr_Occurred();
}

static PyObject *name_of(const Classes *classes, const Class *class)
{
    return PyUnicode_DecodeUTF8(classes->text + class->name.at, class->name.size, "surrogatepass");
}

static int append(PyObject *list, PyObject *item)
{
    int failed = item == NULL || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* The walk is the iterator: a list of all classes would take up memory all over a heap that a forked process shares. */
static PyObject *walk_classes(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!is_done((Walk *)self))
        return NULL;
    ((Walk *)self)->next_row = 0;
    return Py_NewRef(self);
}

static PyObject *walk_next(PyObject *self)
{
    Walk *walk = (Walk *)self;
    if (!is_done(walk) || walk->next_row >= walk->classes.used)
        return NULL;
    const Class *class = &walk->classes.rows[walk->next_row++];
    return Py_BuildValue("(NNnn)", PyLong_FromVoidPtr(class->type), name_of(&walk->classes, class), class->live,
                         class->frozen);
}

static int by_first(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

static PyObject *walk_containers(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const Walk *walk = (Walk *)self;
    if (!is_done(walk))
        return NULL;
    PyObject *found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(walk->containers.used * 3 * sizeof(uint64_t)));
    if (found == NULL)
        return NULL;
    char *into = PyBytes_AS_STRING(found);
    for (size_t i = 0; i < walk->containers.room; i++) {
        const Container *container = &walk->containers.slots[i];
        if (container->object == 0)
            continue;
        uint64_t row[3] = {container->object, container->type, container->length};
        memcpy(into, row, sizeof(row));
        into += sizeof(row);
    }
    qsort(PyBytes_AS_STRING(found), walk->containers.used, 3 * sizeof(uint64_t), by_first);
    return found;
}

static PyObject *walk_referrers(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const Walk *walk = (Walk *)self;
    if (!is_done(walk))
        return NULL;
    PyObject *found = PyList_New(0);
    for (size_t i = 0; found && i < walk->references.used; i++) {
        const Reference *one = &walk->references.found[i];
        const Class *class = &walk->classes.rows[one->row];
        PyObject *row = Py_BuildValue("(NNN)", PyLong_FromVoidPtr((void *)one->referrer),
                                      PyLong_FromVoidPtr((void *)one->target), name_of(&walk->classes, class));
        if (append(found, row) < 0)
            Py_CLEAR(found);
    }
    return found;
}

static PyObject *walk_minimum(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(((Walk *)self)->containers.minimum);
}

static PyObject *walk_restarts(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((Walk *)self)->restarts);
}

static PyMethodDef walk_methods[] = {
    {"step", (PyCFunction)(void (*)(void))walk_step, METH_VARARGS | METH_KEYWORDS, "Count one slice."},
    {"classes", walk_classes, METH_NOARGS, "Address, name, live and frozen instances of each class."},
    {"containers", walk_containers, METH_NOARGS, "Address, class and length of each container by address, three uint64 each."},
    {"referrers", walk_referrers, METH_NOARGS, "Address of the referrer, of the target, and the referrer's class."},
    {"close", walk_close, METH_NOARGS, "Give up: no trace is left in the collector's lists."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef walk_getset[] = {
    {"minimum", walk_minimum, NULL, "Containers shorter than this were left out.", NULL},
    {"restarts", walk_restarts, NULL, "How often it had to begin again.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot walk_slots[] = {
    {Py_tp_doc, "One walk through all objects that the collector tracks, the frozen ones included."},
    {Py_tp_new, walk_new},
    {Py_tp_dealloc, walk_dealloc},
    {Py_tp_methods, walk_methods},
    {Py_tp_getset, walk_getset},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, walk_next},
    {0, NULL},
};

static PyType_Spec walk_spec = {
    .name = "memprof_native.Walk",
    .basicsize = sizeof(Walk),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = walk_slots,
};

/* ---- The self-check. */

typedef struct { int ends[2]; } Peephole;

/* Read memory through the kernel: of a wrong address it says so, where reading it here would end the process. */
static int peek(Peephole *peephole, const void *address, void *into, size_t size)
{
    return write(peephole->ends[1], address, size) == (ssize_t)size
            && read(peephole->ends[0], into, size) == (ssize_t)size ? 0 : -1;
}

static int is_integer(PyObject *value, Py_ssize_t expected)
{
    return value && PyLong_Check(value) && PyLong_AsSsize_t(value) == expected && !PyErr_Occurred();
}

static int is_item(PyObject *tuple, Py_ssize_t index, Py_ssize_t expected)
{
    return tuple && PyTuple_Check(tuple) && PyTuple_GET_SIZE(tuple) == 3
        && is_integer(PyTuple_GET_ITEM(tuple, index), expected);
}

static int is_statistics(PyObject *all, Py_ssize_t index, const Statistics *expected)
{
    PyObject *one = all && PyList_Check(all) && PyList_GET_SIZE(all) == 3 ? PyList_GET_ITEM(all, index) : NULL;
    return one && PyDict_Check(one) && is_integer(PyDict_GetItemString(one, "collections"), expected->collections)
        && is_integer(PyDict_GetItemString(one, "collected"), expected->collected)
        && is_integer(PyDict_GetItemString(one, "uncollectable"), expected->uncollectable);
}

/* Compare the collector's numbers with what the module gc says; NULL: they agree. */
static const char *compare_numbers(PyObject *gc, Peephole *peephole, const Link *head)
{
    Collector seen;
    const char *reason = NULL;
    PyObject *statistics = PyObject_CallMethod(gc, "get_stats", NULL);
    PyObject *thresholds = PyObject_CallMethod(gc, "get_threshold", NULL);
    PyObject *garbage = PyObject_GetAttrString(gc, "garbage"), *callbacks = PyObject_GetAttrString(gc, "callbacks");
    PyObject *counts = PyObject_CallMethod(gc, "get_count", NULL);
    if (!statistics || !thresholds || !garbage || !callbacks || !counts)
        reason = "the module gc does not answer";
    else if (peek(peephole, head, &seen, sizeof(seen)) < 0)
        reason = "the collector's state cannot be read";
    else if (seen.youngest != head)
        reason = "the pointer to the youngest list is not where it is expected";
    else if (seen.garbage != garbage || seen.callbacks != callbacks)
        reason = "gc.garbage and gc.callbacks are not where they are expected";
    else if (seen.collecting != 0 && seen.collecting != 1)
        reason = "the flag of a collection under way is neither 0 nor 1";
    else
        for (int i = 0; i < 3 && reason == NULL; i++) {
            if (!is_item(thresholds, i, seen.generations[i].threshold))
                reason = "the thresholds are not where they are expected";
            else if (i > 0 && !is_item(counts, i, seen.generations[i].count))
                reason = "the generations' counts are not where they are expected";
            else if (!is_statistics(statistics, i, &seen.statistics[i]))
                reason = "the statistics of collections are not where they are expected";
        }
    PyErr_Clear();
    Py_XDECREF(statistics);
    Py_XDECREF(thresholds);
    Py_XDECREF(garbage);
    Py_XDECREF(callbacks);
    Py_XDECREF(counts);
    return reason;
}

/* Whether both neighbours of a head know it. */
static const char *compare_neighbours(Peephole *peephole, Collector *collector, int phase)
{
    Link *head = head_of(collector, phase), copy, next, previous;
    if (peek(peephole, head, &copy, sizeof(copy)) < 0 || ((copy.next | (copy.prev & ~FLAGS)) & 7)
        || peek(peephole, next_of(&copy), &next, sizeof(next)) < 0 || prev_of(&next) != head
        || peek(peephole, prev_of(&copy), &previous, sizeof(previous)) < 0 || next_of(&previous) != head)
        return "the head of a list is not where it is expected";
    return NULL;
}

/* The length of a list, -1 if two neighbours do not know each other; at most one more than asked for. */
static Py_ssize_t length_of_list(Collector *collector, int phase, Py_ssize_t most)
{
    Link *head = head_of(collector, phase), *previous = head, *link = next_of(head);
    Py_ssize_t length = 0;
    for (; link != head && length <= most; previous = link, link = next_of(link), length++)
        if (!fits(link, previous) || is_head(collector, link))
            return -1;
    return length;
}

/* Object by object, in order, with what gc.get_objects() says: all within one call, in which nobody else runs. */
static const char *compare_objects(PyObject *gc, Collector *collector, int phase)
{
    PyObject *objects = PyObject_CallMethod(gc, "get_objects", "i", 3 - phase);
    if (objects == NULL || !PyList_Check(objects)) {
        PyErr_Clear();
        Py_XDECREF(objects);
        return "gc.get_objects() does not answer";
    }
    Link *head = head_of(collector, phase), *previous = head, *link = next_of(head);
    Py_ssize_t at = 0, length = PyList_GET_SIZE(objects);
    const char *reason = NULL;
    for (; link != head && reason == NULL; previous = link, link = next_of(link)) {
        if (!fits(link, previous))
            reason = "two neighbours in a list of the collector do not know each other";
        else if (OBJECT(link) != objects && (at >= length || PyList_GET_ITEM(objects, at++) != OBJECT(link)))
            reason = "a list of the collector has other objects than gc.get_objects()";
    }
    if (reason == NULL && at != length)
        reason = "a list of the collector has fewer objects than gc.get_objects()";
    Py_DECREF(objects);
    return reason;
}

static const char *compare_lists(PyObject *gc, Collector *collector, Py_ssize_t most)
{
    for (int phase = OLDEST; phase <= YOUNGEST; phase++) {
        Py_ssize_t length = length_of_list(collector, phase, most);
        const char *reason = length < 0 ? "two neighbours in a list of the collector do not know each other"
            : length <= most ? compare_objects(gc, collector, phase) : NULL;
        if (reason)
            return reason;
    }
    PyObject *count = PyObject_CallMethod(gc, "get_freeze_count", NULL);
    Py_ssize_t frozen = count ? PyLong_AsSsize_t(count) : -1;
    Py_XDECREF(count);
    PyErr_Clear();
    return frozen < 0 || length_of_list(collector, FROZEN, frozen) != frozen
        ? "the list of frozen objects is not where it is expected" : NULL;
}

static const char *check_layout(State *state, PyObject *gc, Py_ssize_t most)
{
    if (Py_Version >> 16 != PY_VERSION_HEX >> 16)
        return "it was built for another version of Python";
    if (Py_Version >= 0x030E0000 && Py_Version < 0x030E0500)
        return "the incremental collector of CPython 3.14.0 to 3.14.4 is not supported: Python 3.14.5 and later are";
    PyObject *own = (PyObject *)PyObject_GC_New(PyObject, state->cursor_type);
    if (own == NULL) {
        PyErr_Clear();
        return NO_MEMORY;
    }
    Link *head = find_head(own);
    Py_DECREF(own);
    if ((uintptr_t)head & 7)
        return "links have flags that are not known";
    Peephole peephole;
    if (pipe(peephole.ends) < 0)
        return "no pipe could be opened";
    /* Up to 3.11 a collection may come between two of the questions; then they are asked again. */
    const char *reason = "";
    for (int tries = 0; reason != NULL && tries < 5; tries++)
        reason = compare_numbers(gc, &peephole, head);
    for (int phase = FROZEN; reason == NULL && phase <= YOUNGEST; phase++)
        reason = compare_neighbours(&peephole, (Collector *)head, phase);
    close(peephole.ends[0]);
    close(peephole.ends[1]);
    return reason ? reason : compare_lists(gc, (Collector *)head, most);
}

static PyObject *native_check(PyObject *module, PyObject *args)
{
    Py_ssize_t most = 0;
    if (!PyArg_ParseTuple(args, "n:check", &most))
        return NULL;
    PyObject *gc = PyImport_ImportModule("gc");
    if (gc == NULL)
        return NULL;
    const char *reason = check_layout(PyModule_GetState(module), gc, most);
    Py_DECREF(gc);
    if (reason == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(reason);
}

/* ---- Instances of a class, the newest first. */

static PyObject *native_newest(PyObject *module, PyObject *args)
{
    State *state = PyModule_GetState(module);
    PyObject *address;
    Py_ssize_t most, within, found = 0;
    if (!PyArg_ParseTuple(args, "Onn:newest", &address, &most, &within))
        return NULL;
    void *type = PyLong_AsVoidPtr(address);
    if (PyErr_Occurred())
        return NULL;
    if (most < 1 || most > 10000) {
        PyErr_Format(PyExc_ValueError, "most=%zd: 1 to 10000 instances can be given out", most);
        return NULL;
    }
    PyObject **objects = malloc((size_t)most * sizeof(PyObject *));
    PyObject *own = (PyObject *)PyObject_GC_New(PyObject, state->cursor_type);
    if (objects == NULL || own == NULL) {
        free(objects);
        Py_XDECREF(own);
        return PyErr_NoMemory();
    }
    Collector *collector = (Collector *)find_head(own);
    Py_DECREF(own);
    for (int phase = YOUNGEST; phase >= FROZEN && found < most && within > 0; phase--) {
        Link *head = head_of(collector, phase), *link = prev_of(head);
        for (; !is_head(collector, link) && found < most && within-- > 0; link = prev_of(link)) {
            PyObject *object = OBJECT(link);
            /* A tuple may be in the making, and what has no reference is being freed. */
            if ((void *)Py_TYPE(object) == type && !PyTuple_CheckExact(object) && Py_REFCNT(object) > 0)
                objects[found++] = Py_NewRef(object); /* at once: making the list may start a collection */
        }
    }
    PyObject *list = PyList_New(found);
    for (Py_ssize_t i = 0; i < found; i++)
        if (list)
            PyList_SET_ITEM(list, i, objects[i]);
        else
            Py_DECREF(objects[i]);
    free(objects);
    return list;
}

/* ---- The key of a value, without a look at the other values. */

static PyObject *native_key_of(PyObject *module, PyObject *args)
{
    PyObject *dict, *address, *key, *value;
    Py_ssize_t position = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O:key_of", &PyDict_Type, &dict, &address))
        return NULL;
    void *wanted = PyLong_AsVoidPtr(address);
    if (PyErr_Occurred())
        return NULL;
    while (PyDict_Next(dict, &position, &key, &value))
        if (value == wanted)
            return Py_NewRef(key);
    Py_RETURN_NONE;
}

/* ---- After a fork. */

static PyObject *native_drop_inherited(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    State *state = PyModule_GetState(module);
    long dropped = 0;
    for (Walk *walk = state->open, *next; walk; walk = next) {
        next = walk->next_open;
        if (walk->pid != getpid()) {
            close_walk(walk);
            dropped++;
        }
    }
    return PyLong_FromLong(dropped);
}

/* ---- The module. */

static int native_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    PyObject *collections = PyImport_ImportModule("collections");
    if (collections == NULL)
        return -1;
    state->deque_type = (PyTypeObject *)PyObject_GetAttrString(collections, "deque");
    Py_DECREF(collections);
    if (state->deque_type == NULL || !PyType_Check((PyObject *)state->deque_type))
        return -1;
    state->cursor_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &cursor_spec, NULL);
    state->walk_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &walk_spec, NULL);
    if (state->cursor_type == NULL || state->walk_type == NULL)
        return -1;
    return PyModule_AddType(module, state->walk_type);
}

static int native_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->cursor_type);
    Py_VISIT(state->walk_type);
    Py_VISIT(state->deque_type);
    return 0;
}

static int native_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->cursor_type);
    Py_CLEAR(state->walk_type);
    Py_CLEAR(state->deque_type);
    return 0;
}

static PyMethodDef native_methods[] = {
    {"check", native_check, METH_VARARGS, "Why the collector's lists cannot be walked here; None: they can."},
    {"newest", native_newest, METH_VARARGS, "Instances of the class at an address, the newest first."},
    {"key_of", native_key_of, METH_VARARGS, "The key under which a dict holds the object at an address; None: it does not."},
    {"drop_inherited", native_drop_inherited, METH_NOARGS, "Give up the walks of the process that this one was forked from."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot native_slots[] = {
    {Py_mod_exec, native_exec},
#ifdef Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "memprof_native._walk",
    .m_doc = "Walks the lists of the garbage collector.",
    .m_size = sizeof(State),
    .m_methods = native_methods,
    .m_slots = native_slots,
    .m_traverse = native_traverse,
    .m_clear = native_clear,
};

PyMODINIT_FUNC PyInit__walk(void) { return PyModuleDef_Init(&native_module); }
