/*
 * What a compiler does: it takes source text apart, looks names up in a hash table, builds trees of nodes, folds constants, emits code for a stack machine
 * and runs it. Pointers, unpredictable branches, recursion, a switch in a loop. A unit is a token.
 */
#include "bench.h"
#include <stdint.h>
#include <string.h>

enum kind { NUMBER, NAME, ADD, SUB, MUL, AND, XOR, OPEN, CLOSE, END };

struct symbol {
    struct symbol *next;
    uint32_t value;
    unsigned length;
    char name[12];
};

struct node {
    enum kind kind;
    uint32_t value;
    struct symbol *symbol;
    struct node *left, *right;
};

struct op {
    enum kind kind;
    uint32_t value;
    struct symbol *symbol;
};

#define BUCKETS 512
#define TEXT 4096
#define NODES 4096
#define DEPTH 6

static struct symbol *buckets[BUCKETS];
static char text[TEXT + 64];
static unsigned length;
static struct node nodes[NODES];
static unsigned used;
static struct op code[NODES];
static unsigned emitted;
static const char *at;
static enum kind token;
static uint32_t number;
static struct symbol *name;
static long tokens;
static uint32_t seed = 12345;

static uint32_t chance(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static void write_expression(int depth)
{
    static const char operators[] = "+-*&^";

    if (depth == 0 || length > TEXT - 64) {
        length += sprintf(text + length, chance(3) ? "v%u" : "%u", chance(700));
        return;
    }
    text[length++] = '(';
    write_expression(depth - 1 - chance(2) * (depth > 1));
    text[length++] = ' ';
    text[length++] = operators[chance(5)];
    text[length++] = ' ';
    write_expression(depth - 1);
    text[length++] = ')';
}

static struct symbol *look_up(const char *from, unsigned size)
{
    uint32_t hash = 2166136261u;
    struct symbol *found;

    for (unsigned i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)from[i]) * 16777619u;
    for (found = buckets[hash % BUCKETS]; found; found = found->next)
        if (found->length == size && memcmp(found->name, from, size) == 0)
            return found;
    found = calloc(1, sizeof *found);
    if (!found)
        bench_fail("calloc");
    memcpy(found->name, from, size);
    found->length = size;
    found->value = hash;
    found->next = buckets[hash % BUCKETS];
    buckets[hash % BUCKETS] = found;
    return found;
}

static void advance(void)
{
    while (*at == ' ')
        at++;
    tokens++;
    switch (*at) {
    case '+': token = ADD; at++; return;
    case '-': token = SUB; at++; return;
    case '*': token = MUL; at++; return;
    case '&': token = AND; at++; return;
    case '^': token = XOR; at++; return;
    case '(': token = OPEN; at++; return;
    case ')': token = CLOSE; at++; return;
    case '\0': token = END; return;
    }
    if (*at >= '0' && *at <= '9') {
        for (number = 0; *at >= '0' && *at <= '9'; at++)
            number = number * 10 + (*at - '0');
        token = NUMBER;
        return;
    }
    const char *from = at;
    while ((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9'))
        at++;
    name = look_up(from, at - from);
    token = NAME;
}

static uint32_t apply(enum kind kind, uint32_t a, uint32_t b)
{
    switch (kind) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case AND: return a & b;
    default: return a ^ b;
    }
}

static struct node *parse(void)
{
    struct node *node = &nodes[used++ % NODES];

    node->kind = token;
    node->left = node->right = NULL;
    if (token == NUMBER) {
        node->value = number;
    } else if (token == NAME) {
        node->symbol = name;
    } else {
        advance();
        node->left = parse();
        node->kind = token;
        advance();
        node->right = parse();
        if (node->left->kind == NUMBER && node->right->kind == NUMBER) {
            node->value = apply(node->kind, node->left->value, node->right->value);
            node->kind = NUMBER;
        }
    }
    advance();
    return node;
}

static void emit(const struct node *node)
{
    if (node->kind > NAME) {
        emit(node->left);
        emit(node->right);
    }
    code[emitted++] = (struct op){ node->kind, node->value, node->symbol };
}

static uint32_t run(void)
{
    uint32_t stack[64], *top = stack;

    for (const struct op *op = code; op < code + emitted; op++) {
        switch (op->kind) {
        case NUMBER: *top++ = op->value; break;
        case NAME: *top++ = op->symbol->value; break;
        default: top--; top[-1] = apply(op->kind, top[-1], top[0]); break;
        }
    }
    return top[-1];
}

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);
    uint32_t sum = 0;

    bench_begin();
    while (tokens < amount * 1000) {
        length = 0;
        write_expression(DEPTH);
        text[length] = '\0';
        for (int pass = 0; pass < 4; pass++) {
            at = text;
            used = emitted = 0;
            advance();
            emit(parse());
            for (int turn = 0; turn < 3; turn++)
                sum += run();
        }
        look_up("v0", 2)->value = sum;
    }
    bench_end(tokens);
    return sum == 1;
}
