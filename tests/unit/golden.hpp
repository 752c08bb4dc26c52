// Compares what a writer wrote with a file kept under tests/unit/golden. After a change on purpose, run the
// tests once with CAPSUL_UPDATE_GOLDEN=1, and read the difference before committing it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <string>

namespace capsul {

inline void expect_golden(const std::string& name, const std::string& text) {
    const std::filesystem::path file = std::filesystem::path(CAPSUL_GOLDEN_DIR) / name;
    if (std::getenv("CAPSUL_UPDATE_GOLDEN") !=
        nullptr) { // NOLINT(concurrency-mt-unsafe): tests are one thread
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << text;
    }
    std::ifstream kept(file, std::ios::binary);
    ASSERT_TRUE(kept) << file << " is missing: run with CAPSUL_UPDATE_GOLDEN=1";
    std::ostringstream wanted;
    wanted << kept.rdbuf();
    EXPECT_EQ(text, wanted.str()) << "differs from " << file;
}

} // namespace capsul
