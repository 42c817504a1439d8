/* Planets that pull at each other: double precision, one number at a time, with divisions and square roots. A unit is a floating-point operation. */
#include "bench.h"
#include <math.h>

#define BODIES 5
/* 25 for a pair: 3 distances, 5 for their square, root, product and division, 2 weights, 12 for the speeds. 6 for each body's place. */
#define OPERATIONS (BODIES * (BODIES - 1) / 2 * 25 + BODIES * 6)

static double place[BODIES][3], speed[BODIES][3], mass[BODIES];

static void step(double dt)
{
    for (int i = 0; i < BODIES; i++) {
        for (int j = i + 1; j < BODIES; j++) {
            double dx = place[i][0] - place[j][0];
            double dy = place[i][1] - place[j][1];
            double dz = place[i][2] - place[j][2];
            double squared = dx * dx + dy * dy + dz * dz;
            double pull = dt / (squared * sqrt(squared));
            double a = mass[j] * pull, b = mass[i] * pull;

            speed[i][0] -= dx * a;
            speed[i][1] -= dy * a;
            speed[i][2] -= dz * a;
            speed[j][0] += dx * b;
            speed[j][1] += dy * b;
            speed[j][2] += dz * b;
        }
    }
    for (int i = 0; i < BODIES; i++)
        for (int axis = 0; axis < 3; axis++)
            place[i][axis] += dt * speed[i][axis];
}

int main(int argc, char **argv)
{
    long amount = bench_amount(argc, argv);

    for (int i = 0; i < BODIES; i++) {
        mass[i] = i == 0 ? 40 : 0.01 / i;
        place[i][0] = i * 5.0;
        place[i][1] = i * 0.5;
        place[i][2] = i * -0.25;
        speed[i][1] = i == 0 ? 0 : 2.8 / sqrt(i);
    }
    bench_begin();
    for (long n = 0; n < amount * 100; n++)
        step(0.001);
    bench_end((double)amount * 100 * OPERATIONS);
    return place[0][0] == 12345;
}
