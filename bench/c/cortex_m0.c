/* A Cortex-M0 from its reset on: it asks a net for the classes of some images and says how long that took.
 *
 * `predict` and the images come from elsewhere. Under QEMU, each instruction takes 1 ns of the machine's time
 * (-icount shift=0), and SysTick counts at 16 MHz: a tick is 62.5 of them.
 */
#include <stdint.h>

int predict(const uint8_t *image);
extern const uint8_t images[];
extern const int image_count, image_size;

extern uint32_t data_begin[], data_end[], data_source[], bss_begin[], bss_end[];

#define SYSTICK ((volatile uint32_t *)0xE000E010u) /* control, reload, current */

/* A call of the debugger, which QEMU answers: 4 writes a text, 0x18 ends. */
static void semihosting(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(uint32_t number, char end)
{
    char text[12];
    char *at = text + sizeof text;
    *--at = '\0';
    *--at = end;
    do {
        *--at = (char)('0' + number % 10u);
        number /= 10u;
    } while (number > 0u);
    semihosting(4u, at);
}

void reset(void)
{
    for (uint32_t *to = data_begin, *from = data_source; to < data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bss_begin; to < bss_end;) {
        *to++ = 0u;
    }
    SYSTICK[1] = 0xFFFFFFu;
    for (int i = 0; i < image_count; i++) {
        SYSTICK[2] = 0u;
        SYSTICK[0] = 5u; /* on, by the processor's clock */
        const int class = predict(images + i * image_size);
        const uint32_t ticks = 0xFFFFFFu - SYSTICK[2];
        SYSTICK[0] = 0u;
        say((uint32_t)class, ' ');
        say(ticks, '\n');
    }
    semihosting(0x18u, (const void *)0x20026);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[2])(void) = {
    (void (*)(void))0x20004000, /* the end of RAM, where the stack begins */
    reset,
};
