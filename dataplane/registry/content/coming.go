package content

import (
	"context"
	"maps"
)

// received is how many bytes of an upload are on the medium.
func (s *space) received(ctx context.Context, id string) (int64, error) {
	info, err := s.bytes.driver.Stat(ctx, uploadPath+"/"+id+"/data")
	if pathNotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// taken is how much of the quota is used up: by what is there, and by uploads on their way in. The caller has mu.
func (s *space) taken() int64 {
	taken := s.used
	for _, size := range s.coming {
		taken += size
	}
	return taken
}

// begun notes how much of an upload is there before more of it comes.
func (s *space) begun(id string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming[id] = size
}

// reserve counts bytes of an upload that have arrived; within the quota, when there is one.
func (s *space) reserve(id string, n, quota int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if quota > 0 && n > 0 && s.taken()+n > quota {
		return overQuota(quota)
	}
	s.coming[id] += n
	return nil
}

// ended is the end of an upload: its bytes are gone, or are those of a blob.
func (s *space) ended(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.coming, id)
}

// keepComing forgets all uploads but those that are known, such as those of a repository that was deleted.
func (s *space) keepComing(known map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.coming, func(id string, _ int64) bool { return !known[id] })
}
