#pragma once

namespace l2m {
const char* variant();
}
