/* Classes and time of a net: clock REPEATS < IMAGES. It writes a class for each image, then ns an image. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int predict(const uint8_t *image);

enum { SIZE = 784, MOST = 1000 };

static uint8_t images[MOST][SIZE];

int main(int count, char **arguments)
{
    const int repeats = count > 1 ? atoi(arguments[1]) : 1;
    const size_t read = fread(images, SIZE, MOST, stdin);
    for (size_t i = 0; i < read; i++) {
        printf("%d\n", predict(images[i]));
    }
    int sum = 0;
    const clock_t begin = clock();
    for (int r = 0; r < repeats; r++) {
        for (size_t i = 0; i < read; i++) {
            sum += predict(images[i]);
        }
    }
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    printf("%.1f\n", sum < 0 ? 0.0 : 1e9 * seconds / repeats / (double)read);
    return 0;
}
