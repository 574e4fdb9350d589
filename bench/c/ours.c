#include "net.h"

int predict(const uint8_t *image);

int predict(const uint8_t *image)
{
    return net_best(net_run(image));
}
