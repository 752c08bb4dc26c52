#include "daemon/kvm_probe.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

class KvmProbe : public testing::Test {
  protected:
    KvmFinding ask(const KvmFinding& truth) {
        return remembered_kvm(folder_, [&] {
            ++probes_;
            return truth;
        });
    }

    test::TemporaryFolder temporary_;
    fs::path folder_ = temporary_.path();
    int probes_ = 0;
};

TEST_F(KvmProbe, SuccessAndWrongResultsAreFoundOnce) {
    EXPECT_TRUE(ask({true, {}}).works);
    EXPECT_TRUE(ask({false, "now it does not"}).works);
    fs::remove(folder_ / "kvm");
    EXPECT_FALSE(ask({false, kvm_runs_wrongly}).works);
    EXPECT_EQ(ask({true, {}}).reason, kvm_runs_wrongly);
    EXPECT_EQ(probes_, 2);
}

TEST_F(KvmProbe, NoPermissionIsFoundAnewEachTime) {
    EXPECT_EQ(ask({false, "/dev/kvm: Permission denied"}).reason, "/dev/kvm: Permission denied");
    EXPECT_TRUE(ask({true, {}}).works);
}

TEST_F(KvmProbe, AHangIsBelievedForAWhile) {
    EXPECT_FALSE(ask({false, kvm_hangs}).works);
    EXPECT_FALSE(ask({true, {}}).works);
    fs::last_write_time(folder_ / "kvm", fs::file_time_type::clock::now() - std::chrono::minutes(11));
    EXPECT_TRUE(ask({true, {}}).works);
}

} // namespace
} // namespace capsul
