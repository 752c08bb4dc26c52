// Two hosts, and backups that go from one to the other.
#pragma once

#include "daemon/backup_file.hpp"
#include "tests/integration/disk_contents.hpp"

#include <array>

namespace capsul {

class VmBackupTest : public VmDisksTest {
  protected:
    VmBackupTest() {
        for (const fs::path& programs : {daemon_->programs, other_daemon_->programs}) {
            fs::create_symlink(CAPSUL_UNPACK, programs / "capsul-unpack");
        }
    }
    /// Before the systemd of either host.
    void TearDown() override {
        daemon_.reset();
        other_daemon_.reset();
    }

    /// From now on it is the other one that is asked.
    void change_host() {
        std::swap(daemon_, other_daemon_);
        std::swap(paths_, other_paths_);
    }

    /// What VMs are made from has this byte everywhere in its first four MiB; none is there yet.
    void fill_base(int byte) {
        const fs::path base =
            daemon_->images.disk_path(daemon_->store.images.load(Name::parse("blank")).digest);
        ASSERT_EQ(
            run_process(
                {"qemu-io", "-f", "qcow2", "-c", fmt::format("write -P {} 0 4M", byte), base.string()}, 30s)
                .status,
            0);
    }

    BackedUp back_up(const Name& vm, bool image = true) { return decode<BackedUp>(run(VmBackup{vm, image})); }

    std::string fetched(const BackedUp& backup) {
        const DownloadResponse response = daemon_->images.download(backup.archive.id);
        std::string content;
        std::array<char, 100'000> piece{};
        for (std::size_t got = 1; got != 0;) {
            got = response.read(piece);
            content.append(piece.data(), got);
        }
        EXPECT_EQ(content.size(), backup.archive.size);
        return content;
    }

    BackupRestore sent(const std::string& archive) {
        const UploadResponse upload = daemon_->images.upload({});
        upload.write(archive);
        BackupRestore call;
        call.archive = decode<Upload>(upload.finish()).id;
        return call;
    }

    FromBackup restore(const BackupRestore& call) { return decode<FromBackup>(run(call)); }

    /// Whether a disk of a stopped VM, with what it lies over, has this byte at this place.
    testing::AssertionResult has_byte(const Name& vm, const std::string& disk, int byte, const char* offset) {
        const ProcessResult read =
            run_process({"qemu-io", "-r", "-f", "qcow2", "-c", fmt::format("read -P {} {} 64k", byte, offset),
                         file_of(vm, disk).string()},
                        30s);
        const bool ok = read.out.find("read 65536/65536") != std::string::npos &&
                        read.out.find("verification failed") == std::string::npos;
        return ok ? testing::AssertionSuccess() : testing::AssertionFailure() << read.out << read.err;
    }

    /// Everything that is kept under the data and units of this host, but for empty folders.
    std::set<std::string> kept() const {
        std::set<std::string> files;
        for (const fs::path& folder : {paths_.data, paths_.units}) {
            for (const auto& entry : fs::recursive_directory_iterator(folder)) {
                if (!entry.is_directory()) {
                    files.insert(entry.path().string());
                }
            }
        }
        return files;
    }

    /// What is refused tells this.
    void expect_refused(const BackupRestore& call, ErrorCode code, const std::string& words) {
        const Error error = refusal([&] { run(call); });
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_NE((std::string(error.what()) + error.hint()).find(words), std::string::npos)
            << error.what() << "\n"
            << error.hint();
    }

    /// Nothing is left by the refusal.
    void refuse(const std::string& archive, ErrorCode code, const std::string& words) {
        const auto before = kept();
        expect_refused(sent(archive), code, words);
        EXPECT_EQ(kept(), before);
    }

    test::TemporaryFolder other_folder_;
    Paths other_paths_ = paths_in(other_folder_.path());
    test::FakeSystemd other_systemd_{
        {other_paths_.systemd_socket(), other_paths_.units, other_paths_.runtime, other_folder_.path()}};
    std::unique_ptr<Daemon> other_daemon_ = std::make_unique<Daemon>(other_paths_);
};

} // namespace capsul
