/* p2pcat layers: what can stand in a stack, from the library's own table. */
#include "app.h"

#include <stdio.h>

static const char *shape_name(enum stk_shape shape)
{
    switch (shape) {
    case STK_STREAM:
        return "stream";
    case STK_DATAGRAMS:
        return "datagrams";
    case STK_HOST:
        return "address";
    default:
        return "-";
    }
}

static void print_type(const struct stk_layer_type *type, bool with_options)
{
    char head[80];

    snprintf(head, sizeof head, "/%s%s%s", type->name, type->value != STK_VALUE_NONE ? "/" : "",
             type->value != STK_VALUE_NONE ? type->value_name : "");
    printf("%-18s %-10s %-10s %s\n", head, shape_name(type->below), shape_name(type->above),
           type->summary);
    for (const struct stk_option_type *o = type->options;
         with_options && o != NULL && o->name != NULL; o++)
        printf("    ,%s%s  %s\n", o->name, o->kind == STK_OPTION_FLAG ? "" : "=", o->help);
}

int cmd_layers(const struct app_options *options, int count, char **words)
{
    const struct stk_layer_type *type;

    (void)options;
    if (count == 0)
        printf("%-18s %-10s %-10s %s\n", "LAYER", "STANDS ON", "OFFERS", "");
    for (int i = 0; count == 0 && (type = stk_layer_type_at(i)) != NULL; i++)
        print_type(type, talk_is_verbose());
    for (int i = 0; i < count; i++) {
        if ((type = stk_layer_type_find(words[i])) == NULL) {
            talk_error("there is no layer \"%s\"; \"p2pcat layers\" lists them", words[i]);
            return EXIT_USAGE;
        }
        print_type(type, true);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_LOCAL;
}
