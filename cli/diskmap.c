/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "diskmap.h"

#include <string.h>
#include "text.h"

/* Wider, the eye loses the line. */
#define WIDTH_MAX 120
/* Room for "before" and "after". */
#define MARGIN 7
/* As wide as "esp" and "usr". */
#define WIDTH_WANTED 3

typedef enum { SEGMENT_PARTITION, SEGMENT_FREE, SEGMENT_MERGED } SegmentKind;

/* A stretch of the disk. */
typedef struct {
	SegmentKind kind;
	guint64 start, size; /* bytes */
	guint number;
	const char *before, *after; /* lent: by types and partitions */
	guint width_min, width;	    /* columns between the lines */
} Segment;

/* The lines of a drawing. */
typedef struct {
	const char *across, *down;
	const char *top[3], *bottom[3]; /* left end, crossing, right end */
	const char *cut;		/* one column: there was more */
} Pen;

static const Pen pen_utf8 = { "─", "│", { "┌", "┬", "┐" }, { "└", "┴", "┘" }, "…" };
static const Pen pen_ascii = { "-", "|", { "+", "+", "+" }, { "+", "+", "+" }, "~" };

/* A drawing. */
typedef struct {
	Screen *screen;
	const Pen *pen;
	GArray *segments; /* (element-type Segment) */
	guint margin;	  /* for the names of the rows, if they have any */
} Map;

static gint
compare_start(gconstpointer a, gconstpointer b)
{
	const Segment *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static guint
count_digits(guint number)
{
	guint n = 1;

	for (; number >= 10; number /= 10)
		n++;
	return n;
}

/* Partitions in the order in which they lie on the disk, and the space between that is worth a
 * column. */
static GArray *
list_segments(const Facts *disk, DiskmapAfter after, gpointer data, guint width)
{
	g_autoptr(GArray) partitions = g_array_new(FALSE, TRUE, sizeof(Segment));
	GArray *segments = g_array_new(FALSE, TRUE, sizeof(Segment));
	guint64 end = 0, size = disk->size;
	guint64 worth = MAX(size / width, 1024 * 1024 + 1);

	for (guint i = 0; i < disk->partitions->len; i++) {
		const PartitionFacts *partition = g_ptr_array_index(disk->partitions, i);
		Segment segment = {
			.kind = SEGMENT_PARTITION,
			.start = partition->start,
			.size = partition->size,
			.number = partition->number,
			.before = text_type(partition->type_uuid),
			.after = text_type(after ? after(partition, data) : partition->type_uuid),
		};

		segment.width_min = MAX(WIDTH_WANTED, count_digits(segment.number));
		g_array_append_val(partitions, segment);
	}
	g_array_sort(partitions, compare_start);

	for (guint i = 0; i <= partitions->len; i++) {
		const Segment *next =
			i < partitions->len ? &g_array_index(partitions, Segment, i) : NULL;
		guint64 start = next ? next->start : size;

		if (start > end && start - end >= worth) {
			Segment gap = { .kind = SEGMENT_FREE,
					.start = end,
					.size = start - end,
					.before = "free",
					.after = "free",
					.width_min = 1 };

			g_array_append_val(segments, gap);
		}
		if (next) {
			g_array_append_vals(segments, next, 1);
			end = MAX(end, next->start + next->size);
		}
	}

	return segments;
}

static guint
sum_width_min(GArray *segments)
{
	guint sum = 0;

	for (guint i = 0; i < segments->len; i++)
		sum += g_array_index(segments, Segment, i).width_min;

	return sum;
}

/* Makes it fit: first by narrowing, then by drawing the smallest neighbours together. */
static void
fit(GArray *segments, guint width)
{
	if (sum_width_min(segments) + segments->len + 1 > width)
		for (guint i = 0; i < segments->len; i++) {
			Segment *segment = &g_array_index(segments, Segment, i);

			segment->width_min = MAX(1, count_digits(segment->number));
		}

	while (segments->len > 1 && sum_width_min(segments) + segments->len + 1 > width) {
		guint smallest = 0;
		Segment *a, *b;

		for (guint i = 1; i + 1 < segments->len; i++) {
			a = &g_array_index(segments, Segment, i);
			b = &g_array_index(segments, Segment, smallest);
			if (a[0].size + a[1].size < b[0].size + b[1].size)
				smallest = i;
		}
		a = &g_array_index(segments, Segment, smallest);
		b = a + 1;
		*a = (Segment){ .kind = SEGMENT_MERGED,
				.start = a->start,
				.size = a->size + b->size,
				.width_min = 1 };
		g_array_remove_index(segments, smallest + 1);
	}
}

/* Shares @width among the segments by size; none gets less than it needs. */
static void
share(GArray *segments, guint width)
{
	guint left = width - MIN(width, segments->len + 1);
	double size = 0;
	gboolean changed = TRUE;

	for (guint i = 0; i < segments->len; i++)
		size += (double)g_array_index(segments, Segment, i).size;

	/* Those whose share is too small get what they need, and the others share what is left. */
	while (changed) {
		changed = FALSE;
		for (guint i = 0; i < segments->len; i++) {
			Segment *segment = &g_array_index(segments, Segment, i);

			if (segment->width > 0 ||
			    (double)segment->size * left >= segment->width_min * size)
				continue;
			segment->width = segment->width_min;
			left -= MIN(left, segment->width);
			size -= (double)segment->size;
			changed = TRUE;
		}
	}

	/* From left to right, each up to where it ends: no column is lost to rounding. */
	for (guint i = 0; i < segments->len; i++) {
		Segment *segment = &g_array_index(segments, Segment, i);

		if (segment->width > 0)
			continue;
		segment->width = (guint)((double)segment->size / size * left + 0.5);
		segment->width = MAX(segment->width, segment->width_min);
		left -= MIN(left, segment->width);
		size = MAX(size - (double)segment->size, 1);
	}
}

static void
print_border(const Map *map, const char *const ends[3])
{
	screen_print(map->screen, "%*s", (int)map->margin, "");
	for (guint i = 0; i < map->segments->len; i++) {
		screen_print(map->screen, "%s", ends[i == 0 ? 0 : 1]);
		for (guint j = 0; j < g_array_index(map->segments, Segment, i).width; j++)
			screen_print(map->screen, "%s", map->pen->across);
	}
	screen_print(map->screen, "%s\n", ends[2]);
}

/* @text in exactly @width columns; what it is made of is ASCII. */
static void
print_cell(const Map *map, const char *text, guint width)
{
	if (strlen(text) <= width)
		screen_print(map->screen, "%-*s", (int)width, text);
	else
		screen_print(map->screen, "%.*s%s", (int)width - 1, text, map->pen->cut);
}

static void
print_numbers(const Map *map)
{
	screen_print(map->screen, "%*s", (int)map->margin, "");
	for (guint i = 0; i < map->segments->len; i++) {
		const Segment *segment = &g_array_index(map->segments, Segment, i);
		g_autofree char *size = text_size(segment->size);
		g_autofree char *number = g_strdup_printf("%u", segment->number);
		g_autofree char *both = g_strdup_printf("%s %s", number, size);
		const char *text = "";

		if (segment->kind == SEGMENT_PARTITION)
			text = strlen(both) <= segment->width ? both : number;
		else if (segment->kind == SEGMENT_FREE && strlen(size) <= segment->width)
			text = size;
		screen_print(map->screen, "%s", map->pen->down);
		print_cell(map, text, segment->width);
	}
	screen_print(map->screen, "%s\n", map->pen->down);
}

static void
print_types(const Map *map, const char *name, gboolean is_after)
{
	screen_print(map->screen, "%-*s", (int)map->margin, name);
	for (guint i = 0; i < map->segments->len; i++) {
		const Segment *segment = &g_array_index(map->segments, Segment, i);
		const char *type = is_after ? segment->after : segment->before;
		const char *begin = "", *end = "";

		if (g_strcmp0(segment->before, segment->after) != 0)
			begin = screen_begin(map->screen,
					     is_after ? SCREEN_STYLE_AFTER : SCREEN_STYLE_BEFORE);
		else if (segment->kind != SEGMENT_PARTITION)
			begin = screen_begin(map->screen, SCREEN_STYLE_FAINT);
		if (*begin)
			end = screen_end(map->screen);

		screen_print(map->screen, "%s%s", map->pen->down, begin);
		if (segment->kind == SEGMENT_MERGED)
			screen_print(map->screen, "%s%*s", map->pen->cut, (int)segment->width - 1,
				     "");
		else if (segment->kind == SEGMENT_FREE && segment->width < strlen(type))
			print_cell(map, "", segment->width);
		else
			print_cell(map, type, segment->width);
		screen_print(map->screen, "%s", end);
	}
	screen_print(map->screen, "%s\n", map->pen->down);
}

void
diskmap_print(Screen *screen, const Facts *disk, DiskmapAfter after, gpointer data)
{
	guint margin = after ? MARGIN : 0;
	guint width = MIN(screen->width, WIDTH_MAX) - margin;
	g_autoptr(GArray) segments = list_segments(disk, after, data, width);
	const Map map = { .screen = screen,
			  .pen = screen->is_utf8 ? &pen_utf8 : &pen_ascii,
			  .segments = segments,
			  .margin = margin };

	if (segments->len == 0)
		return;

	fit(segments, width);
	share(segments, width);
	print_border(&map, map.pen->top);
	print_numbers(&map);
	print_types(&map, after ? "before" : "", FALSE);
	if (after)
		print_types(&map, "after", TRUE);
	print_border(&map, map.pen->bottom);
}
