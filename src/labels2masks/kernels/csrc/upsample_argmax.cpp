#include "upsample_argmax.h"
namespace l2m {
const char* variant() { return "baseline"; }
}
