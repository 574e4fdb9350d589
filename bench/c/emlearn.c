#include "net.h"

int predict(const uint8_t *image);

int predict(const uint8_t *image)
{
    static float values[784];
    for (int i = 0; i < 784; i++) {
        values[i] = (float)image[i] / 255.0f;
    }
    return (int)net_predict(values, 784);
}
